"""The appIds with a queue of their own, because their checks wait while the checks of others go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from store import keys

if TYPE_CHECKING:
    from redis import Redis

    from config.lanes import Lane


class Crowds:
    """The appIds with a queue of their own, for all workers."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def add(self, lane: Lane, appid: str) -> None:
        self._redis.sadd(keys.crowded(lane), appid)

    def remove(self, lane: Lane, appid: str) -> None:
        self._redis.srem(keys.crowded(lane), appid)

    def members(self, lane: Lane) -> set[str]:
        return cast("set[str]", self._redis.smembers(keys.crowded(lane)))
