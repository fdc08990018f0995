"""The ending of a check as JSON, for a run after the one that saw the ending."""

from __future__ import annotations

from typing import Any

from kombu.utils import json

import wxcheck
from wxcheck import CheckError


def encode_ending(ended: Any) -> str:
    """Return a verdict, or a failure with a name, as JSON; '' for any other failure, since it is no ending to keep."""
    if isinstance(ended, CheckError):
        ended = {"failure": type(ended).__name__, "said": ended.args}
    elif isinstance(ended, BaseException):
        return ""
    else:
        ended = {"verdict": ended}
    encoded: str = json.dumps(ended)
    return encoded


def decode_ending(encoded: str) -> Any:
    """Return the verdict, or the failure, that :func:`encode_ending` encoded."""
    ending = json.loads(encoded)
    if "verdict" in ending:
        return ending["verdict"]
    return getattr(wxcheck, ending["failure"])(*ending["said"])
