"""The state of a lane, from the fields that ``store/quota/lane.lua`` keeps. Pure."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from config.days import day_of, next_midnight
from status.remedies import Said, refusal
from store.quota.permits import WINDOW

if TYPE_CHECKING:
    from collections.abc import Mapping

#: the script's ring: microseconds of a bucket, and number of buckets
BUCKET, SIZE = 25_000, 4096
MICRO = 1_000_000

_CLOSED: dict[str, Said] = {
    "second": {"en": "WeChat said: too many calls within a second (44990)", "zh": "微信返回：一秒内调用过多（44990）"},
    "minute": {
        "en": "WeChat said that this minute's quota is used up (44991)",
        "zh": "微信返回：本分钟的配额已用完（44991）",
    },
    "day": {"en": "WeChat said that the day's quota is used up (45009)", "zh": "微信返回：当日配额已用完（45009）"},
}
_SPENT: Said = {"en": "the day's quota is used up", "zh": "当日配额已用完"}
_PAUSED: Said = {
    "en": "Redis was restarted, or does not know what was sent lately",
    "zh": "Redis 重启过，或不知道最近发出了多少",
}
_SLOWED: Said = {
    "en": "less is sent for a while: something else spends the same quota",
    "zh": "暂时放慢：有别的程序在使用同一配额",
}


#: the fields of the quota's hash that tell a lane's state
QUOTA = (
    *("run", "now", "shown", "tail", "day", "used"),
    *("opens", "closed_until", "why", "stopped", "refusal", "cut", "cut_until"),
)


class Stored(NamedTuple):
    """Redis' data on a lane."""

    quota: Mapping[str, str]
    ring: bytes
    #: run id of the Redis that answered
    run: str


def lane_numbers(stored: Stored, per_minute: int, per_day: int, now: float) -> dict[str, Any]:
    """Return ``minute``, ``day``, ``state``, ``why`` and ``opens_at`` of a lane.

    ``now``: Redis' time in seconds since the epoch.
    """
    quota = stored.quota
    wall = now * MICRO
    today = day_of(now)
    used_today = _integer(quota, "used") if _integer(quota, "day") == today else 0
    cut = _integer(quota, "cut") if _integer(quota, "cut_until") > wall else 0
    limit = max(1, per_minute - per_minute * cut // 10)
    state, why, opens_at = _state(stored, per_day, used_today, cut, wall)
    return {
        "minute": {"used": _used(stored, wall), "limit": limit},
        "day": {"used": used_today, "limit": per_day},
        "state": state,
        "why": why,
        "opens_at": opens_at,
    }


def curve(minutes: Mapping[int, Counter[str]], appid: str, lane: str) -> list[list[int]]:
    """Each minute of the last hour: its start in seconds since the epoch, calls sent, checks given back, refusals."""
    prefix = f"calls|{appid}|{lane}|"
    return [
        [minute * 60, *(counted[prefix + what] for what in ("sent", "given_back", "refused"))]
        for minute, counted in minutes.items()
    ]


def _state(stored: Stored, per_day: int, used: int, cut: int, wall: float) -> tuple[str, Said | None, float | None]:
    quota = stored.quota
    if (stopped := _integer(quota, "stopped")) > wall:
        return "stopped", refusal(*json.loads(quota["refusal"])[:2]), stopped / MICRO
    if quota and quota.get("run") == stored.run and (opens := _integer(quota, "opens")) > _lane_time(quota, wall):
        return "paused", _PAUSED, (wall + opens - _lane_time(quota, wall)) / MICRO
    if (closed_until := _integer(quota, "closed_until")) > wall:
        why = quota.get("why", "minute")
        return ("spent" if why == "day" else "closed"), _CLOSED.get(why, _CLOSED["minute"]), closed_until / MICRO
    if used >= per_day:
        return "spent", _SPENT, next_midnight(wall / MICRO)
    if cut:
        return "slowed", _SLOWED, None
    return "open", None, None


def _lane_time(quota: Mapping[str, str], wall: float) -> float:
    """Return the lane's own time, which stands still while nobody asks for permits."""
    return _integer(quota, "now") + max(0.0, wall - _integer(quota, "shown"))


def _used(stored: Stored, wall: float) -> int:
    """Return the number of permits that count at present: of the last window, and of calls under way."""
    quota, ring = stored.quota, stored.ring
    if quota.get("run") != stored.run or len(ring) != SIZE:
        return 0
    tail = _integer(quota, "tail")
    first = max(tail, math.floor((_lane_time(quota, wall) - WINDOW * MICRO) / BUCKET))
    return sum(ring[bucket % SIZE] for bucket in range(first, tail + SIZE))


def _integer(quota: Mapping[str, str], field: str) -> int:
    return int(float(quota.get(field) or 0))
