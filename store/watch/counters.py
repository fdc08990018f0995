"""Events of the whole cluster, counted in Redis: the processes of a worker would each count their own part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store import keys

if TYPE_CHECKING:
    from redis import Redis


def count(redis: Redis, event: str) -> None:
    """Count an event by its name; ``docs/counters.md`` tells the meaning of each."""
    redis.hincrby(keys.COUNTERS, event, 1)


def counted(redis: Redis) -> dict[str, int]:
    """Return the count of every event, by name."""
    found: dict[str, str] = redis.hgetall(keys.COUNTERS)  # type: ignore[assignment]
    return {event: int(number) for event, number in sorted(found.items())}
