"""Connects to the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis.exceptions
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

#: what a store says that is away for a while, or takes nothing: full, a replica, starting, failing over
STORE_AWAY = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.MasterDownError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.TryAgainError,
)

if TYPE_CHECKING:
    from config.settings import Settings


def connect_store(settings: Settings, timeout: float, retries: int = 1) -> Redis:
    """A client of the store that gives up: redis-py alone waits without bound, and repeats ten times.

    ``timeout``: seconds for connecting, and for each answer. One retry is due where a connection may have been closed
    while it was idle; every script may be repeated.
    """
    client: Redis = Redis.from_url(
        settings.redis_url,
        decode_responses=True,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        socket_keepalive=True,
        health_check_interval=30,
        retry=Retry(NoBackoff(), retries),
    )
    return client
