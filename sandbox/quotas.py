"""Calls of each appId, counted by wall-clock minute and by calendar day in Asia/Shanghai. Failed calls count too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from config.days import day_of
from sandbox.answers import Refused


@dataclass(frozen=True, slots=True)
class Limits:
    """The quota of one appId for one API. ``minute_errcode``: 44991 for the checks, 45011 for the others."""

    per_minute: int
    per_day: int
    per_second: int | None = None
    minute_errcode: int = 44991


@dataclass(slots=True)
class _Calls:
    day: int = 0
    in_day: int = 0
    minute: int = 0
    in_minute: int = 0
    second: int = 0
    in_second: int = 0


class Quotas:
    """The counters: one set for each appId and path, so that they stay few. ``clock`` gives seconds since the epoch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._calls: dict[tuple[str, str], _Calls] = {}

    def spend(self, appid: str, path: str, limits: Limits) -> None:
        """Count one call, even a refused one.

        Raises:
            Refused: 45009 the day's quota is used up, 44991 or 45011 the minute's, 44990 too many within a second.
        """
        calls = self._turn(appid, path)
        calls.in_day += 1
        calls.in_minute += 1
        calls.in_second += 1
        if calls.in_day > limits.per_day:
            raise Refused(45009)
        if calls.in_minute > limits.per_minute:
            raise Refused(limits.minute_errcode)
        if limits.per_second is not None and calls.in_second > limits.per_second:
            raise Refused(44990)

    def used_today(self, appid: str, path: str) -> int:
        return self._turn(appid, path).in_day

    def _turn(self, appid: str, path: str) -> _Calls:
        now = self._clock()
        calls = self._calls.setdefault((appid, path), _Calls())
        if calls.second != int(now):
            calls.second, calls.in_second = int(now), 0
        if calls.minute != int(now) // 60:
            calls.minute, calls.in_minute = int(now) // 60, 0
        if calls.day != day_of(now):
            calls.day, calls.in_day = day_of(now), 0
        return calls
