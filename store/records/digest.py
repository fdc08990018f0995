"""The digest of a check's content, which tells apart two checks that an application gave the same task id."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from kombu.utils import json

#: bytes; few, since each waiting check has a digest in the store, and digests tell apart only checks of one task id
SIZE = 6


def digest_of(task: str, args: Any, kwargs: Any) -> str:
    """Return eight characters for the task and its arguments, however their message is encoded."""
    said = json.dumps([task, args, kwargs], sort_keys=True, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.blake2b(said.encode(), digest_size=SIZE).digest()).decode()
