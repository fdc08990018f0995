"""What a check is known again by, beside its task id, which an application may give to two."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from kombu.utils import json

#: bytes: each check that waits has it in the store, and only checks of one task id are told apart by it
SIZE = 6


def digest_of(task: str, args: Any, kwargs: Any) -> str:
    """Eight characters for the task and its arguments, however their message is encoded."""
    said = json.dumps([task, args, kwargs], sort_keys=True, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.blake2b(said.encode(), digest_size=SIZE).digest()).decode()
