"""The processes' counts over the last hour and the last day."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, cast

from store import keys

if TYPE_CHECKING:
    from redis import Redis

#: minutes and hours that are shown, the current one included: the sums span 59 to 60 minutes, 23 to 24 hours
MINUTES, HOURS = 60, 24
#: seconds after which a minute no longer changes: the processes write once a second, and may be late
SETTLED = 30


class Counted(NamedTuple):
    """Counts by the fields of :mod:`store.watch.statistics`."""

    #: number of the minute since the epoch -> its counts, the oldest first
    minutes: dict[int, Counter[str]]
    hour: Counter[str]
    day: Counter[str]
    #: field -> time of its last count, in seconds since the epoch
    latest: dict[str, float]


class Rings:
    """Reads the counts; minutes and hours that cannot change any more are read once."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._known: dict[str, Counter[str]] = {}

    def read(self, now: float) -> Counted:
        """Read the counts of the last hour and day before ``now``, Redis' time in seconds since the epoch."""
        minutes = range(int(now // 60) - MINUTES + 1, int(now // 60) + 1)
        hours = range(int(now // 3600) - HOURS + 1, int(now // 3600) + 1)
        names = {keys.statistics_of_minute(minute): (minute + 1) * 60 for minute in minutes}
        names |= {keys.statistics_of_hour(hour): (hour + 1) * 3600 for hour in hours}
        asked = [name for name in names if name not in self._known]
        with self._redis.pipeline(transaction=False) as pipe:
            for name in asked:
                pipe.hgetall(name)
            pipe.hgetall(keys.LATEST)
            *found, latest = pipe.execute()
        read = {name: _counter(fields) for name, fields in zip(asked, found, strict=True)}
        every = self._known | read
        self._known = {name: every[name] for name, end in names.items() if end + SETTLED < now}
        by_minute = {minute: every[keys.statistics_of_minute(minute)] for minute in minutes}
        return Counted(
            by_minute,
            _sum(by_minute.values()),
            _sum(every[keys.statistics_of_hour(hour)] for hour in hours),
            {field: float(at) for field, at in latest.items()},
        )

    def totals(self) -> dict[str, int]:
        """Return the lifetime totals by field."""
        counted = cast("dict[str, str]", self._redis.hgetall(keys.STATISTICS))
        return {field: int(number) for field, number in counted.items()}


def _counter(fields: dict[str, str]) -> Counter[str]:
    return Counter({field: int(number) for field, number in fields.items()})


def _sum(counters: object) -> Counter[str]:
    total: Counter[str] = Counter()
    for counter in cast("list[Counter[str]]", counters):
        total.update(counter)
    return total
