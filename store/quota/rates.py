"""The rates of the lanes: those of the settings, until an operator changes them while the workers run.

``celery control rate_limit wxcheck.check_text 600/m``, or Flower's button, sets a task's rate for the whole cluster,
later workers included; ``0`` resets the rate.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple, cast

from store import keys

if TYPE_CHECKING:
    from redis import Redis

    from config.lanes import Lane
    from config.settings import MiniProgram

#: seconds for which a process uses the rates that it has read
FRESH = 1.0


class Declared(NamedTuple):
    """A rate that was set at run time."""

    #: calls a minute; None: the rate of the settings
    per_minute: int | None
    #: rises with each change, so that the last change counts, whoever asks
    version: int


_CONFIGURED = Declared(None, 0)


class Rates:
    """The rates of the cluster, as this process read them last."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._read_at = 0.0
        self._declared: dict[str, Declared] = {}

    def of(self, program: MiniProgram, lane: Lane) -> tuple[int, int, int]:
        """Return the calls a minute and a day that ``program`` may send, and the version of the calls a minute.

        A rate set at run time counts for every appId, except that an appId keeps a lower rate of its own.

        Raises:
            one of STORE_AWAY: the store does not answer.
        """
        per_minute = program.text_per_minute if lane == "text" else program.media_per_minute
        per_day = program.text_per_day if lane == "text" else program.media_per_day
        declared = self.declared(lane)
        if declared.per_minute is not None:
            own = per_minute if f"{lane}_per_minute" in program.own_rates else None
            per_minute = declared.per_minute if own is None else min(own, declared.per_minute)
        return per_minute, per_day, declared.version

    def declared(self, lane: Lane) -> Declared:
        """Return the rate of a lane that was set at run time."""
        if time.monotonic() - self._read_at > FRESH:
            self._read()
        return self._declared.get(lane, _CONFIGURED)

    def declare(self, lane: Lane, per_minute: int | None) -> None:
        """Set the rate of a lane for the whole cluster; None goes back to the settings."""
        seconds, microseconds = self._redis.time()
        # the later of two changes counts, even if the clock was put back between them
        version = max(seconds * 1000 + microseconds // 1000, self.declared(lane).version + 1)
        self._redis.hset(keys.RATES, lane, f"{per_minute or ''}@{version}")
        self._read()

    def _read(self) -> None:
        stored = cast("dict[str, str]", self._redis.hgetall(keys.RATES))
        declared = {}
        for lane, text in stored.items():
            per_minute, _, version = text.partition("@")
            declared[lane] = Declared(int(per_minute) if per_minute else None, int(version))
        self._declared = declared
        self._read_at = time.monotonic()
