"""Connects to the store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import redis.exceptions
from redis import Redis
from redis._parsers.base import BaseParser
from redis.backoff import NoBackoff
from redis.retry import Retry

from config import keys


class RefusedForNow(redis.exceptions.ResponseError):
    """An answer of Redis that passes, for which redis-py has no class."""


#: it cannot write to its disk; has too few replicas; runs a script that does not end; has become a replica, which ends
#: what waited there
for _code in ("MISCONF", "NOREPLICAS", "BUSY", "UNBLOCKED"):
    BaseParser.EXCEPTION_CLASSES[_code] = RefusedForNow

#: what a store says that is away for a while, or takes nothing: full, a replica, starting, failing over
STORE_AWAY = (
    RefusedForNow,
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
    return connect(settings.redis_url, timeout, retries)


def vouch(client: Redis, appid: str) -> None:
    """Says that nothing was sent for ``appid`` lately, so that its lanes need not pause, and forgets what was.

    Only for a platform that has just been made, a stand-in, and before any worker runs.
    """
    run = client.info("server")["run_id"]
    if client.hget(keys.LANES, "run") not in (run, run.encode()):
        client.delete(keys.LANES)
        client.hset(keys.LANES, mapping={"run": run, "since": int(time.time() * 1e6)})
    for lane in ("text", "media"):
        client.delete(keys.quota(appid, lane), keys.ring(appid, lane))
        client.hset(keys.LANES, f"{appid}:{lane}", "vouched")


def connect(url: str, timeout: float, retries: int, *, text: bool = True) -> Redis:
    """A client of any Redis that gives up, as :func:`connect_store` does; ``text``: else its answers are bytes."""
    client: Redis = Redis.from_url(
        url,
        decode_responses=text,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        socket_keepalive=True,
        health_check_interval=30,
        retry=Retry(NoBackoff(), retries),
    )
    return client
