"""The reader of the platform's answers. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from config.names import MAX_ERRMSG

_RID = re.compile(r"\brid(?::\s*|\s+)([0-9A-Za-z]+(?:-[0-9A-Za-z]+)+)")


class Unanswered(Exception):
    """A call got no usable answer. ``reason`` tells in a few words what came instead.

    ``taken``: the platform may have taken the call all the same. ``over``: something came back, so nothing of the call
    can arrive any more.
    """

    def __init__(self, reason: str, *, taken: bool, over: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.taken = taken
        self.over = over


@dataclass(frozen=True)
class Answer:
    """An answer of the platform; ``data`` is its whole JSON object, with the documented names."""

    errcode: int
    errmsg: str
    data: dict[str, Any] = field(repr=False)  # may hold a token

    @property
    def rid(self) -> str | None:
        """The id of the call, found in ``errmsg``, or None; WeChat keeps the call under this id for 7 days."""
        found = _RID.search(self.errmsg)
        return found[1] if found else None


class TokenRefused(Exception):
    """The platform refused a call for an access token. Judge ``answer`` as the answer to the check itself."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.errcode)
        self.answer = answer


#: names in the answers of cloud calls -> the documented names
_CAMEL_CASE = {"errCode": "errcode", "errMsg": "errmsg", "traceId": "trace_id"}


def read_answer(status: int, body: bytes) -> Answer:
    """Read the answer in ``body`` as UTF-8, whatever its headers say: WeChat sends text/plain without a charset.

    Raises:
        Unanswered: a fault of the server (HTTP 5xx), or no JSON object with an ``errcode``.
    """
    if status >= 500:
        raise Unanswered(f"HTTP {status}", taken=True, over=True)
    try:
        data = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise Unanswered(f"HTTP {status} without JSON", taken=True, over=True) from None
    if not isinstance(data, dict):
        raise Unanswered(f"HTTP {status} with JSON that is no object", taken=True, over=True)
    data = {_CAMEL_CASE.get(name, name): value for name, value in data.items()}
    errcode = integer(data.get("errcode", 0 if "access_token" in data else None))
    if errcode is None:
        raise Unanswered(f"HTTP {status} without an errcode", taken=True, over=True)
    return Answer(errcode, str(data.get("errmsg", ""))[:MAX_ERRMSG], data)


def integer(value: object) -> int | None:
    """Return ``value``, an int or the digits of one, as an int; else None. The platform mixes both."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        return int(value)
    return None
