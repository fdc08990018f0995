"""The use of a quota, as WeChat counts it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from wechat.answers import integer
from wechat.checks import PATHS
from wechat.errcodes import OK

if TYPE_CHECKING:
    from config.lanes import Lane
    from wechat.http import Http

QUOTA_PATH = "/cgi-bin/openapi/quota/get"
_RATE = ("call_count", "refresh_second")


class QuotaNotTold(Exception):
    """The platform does not tell the use of a quota; the message quotes its answer."""


class PlatformQuota(NamedTuple):
    """A lane's quota as the platform counts it."""

    #: calls today
    used: int
    #: calls granted a day, and a minute; None if the platform does not tell
    per_day: int | None
    per_minute: int | None


def quota_of(http: Http, lane: Lane, parameters: dict[str, str]) -> PlatformQuota:
    """Return the quota of a lane as WeChat counts it, right to about 1 %.

    ``parameters``: the query parameters that sign the call. Source: ``POST /cgi-bin/openapi/quota/get``.

    Raises:
        QuotaNotTold: the answer names no count.
        Unanswered: no usable answer.
    """
    answer = http.post(QUOTA_PATH, parameters, json.dumps({"cgi_path": PATHS[lane]}).encode())
    told = answer.data.get("quota")
    used = integer(told.get("used")) if isinstance(told, dict) else None
    if answer.errcode != OK or not isinstance(told, dict) or used is None:
        raise QuotaNotTold(f"errcode {answer.errcode} {answer.errmsg}".strip())
    rate = answer.data.get("rate_limit")
    calls, seconds = (integer(rate.get(name)) for name in _RATE) if isinstance(rate, dict) else (None, None)
    return PlatformQuota(used, integer(told.get("daily_limit")), calls * 60 // seconds if calls and seconds else None)
