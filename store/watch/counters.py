"""Events of the whole cluster, counted in Redis: the processes of a worker would each count their own part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store import keys

if TYPE_CHECKING:
    from redis import Redis


class Counters:
    """Counts events by name; ``docs/counters.md`` tells the meaning of each."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def count(self, event: str) -> None:
        self._redis.hincrby(keys.COUNTERS, event, 1)

    def read(self) -> dict[str, int]:
        """Return the count of every event, by name."""
        counted: dict[str, str] = self._redis.hgetall(keys.COUNTERS)  # type: ignore[assignment]
        return {event: int(number) for event, number in sorted(counted.items())}
