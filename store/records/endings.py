"""How a check ended, as JSON, for a run that comes after the one that saw it."""

from __future__ import annotations

from typing import Any

from kombu.utils import json

import wxcheck
from wxcheck import CheckError


def encode_ending(ended: Any) -> str:
    """JSON of a verdict, or of a failure with a name; '' of any other failure, which is no answer of the platform's."""
    if isinstance(ended, CheckError):
        ended = {"failure": type(ended).__name__, "said": ended.args}
    elif isinstance(ended, BaseException):
        return ""
    else:
        ended = {"verdict": ended}
    encoded: str = json.dumps(ended)
    return encoded


def decode_ending(encoded: str) -> Any:
    """What :func:`encode_ending` made: the verdict, or the failure."""
    ending = json.loads(encoded)
    if "verdict" in ending:
        return ending["verdict"]
    return getattr(wxcheck, ending["failure"])(*ending["said"])
