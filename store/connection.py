"""Connects to the store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import redis.exceptions
from redis import Redis
from redis._parsers.base import BaseParser
from redis.backoff import NoBackoff
from redis.retry import Retry

from store import keys


class _ByWords(dict[str, Any]):
    """Of errors without a code of their own, which redis-py tells apart by their whole text, those too that go on."""

    #: how Redis, and Valkey, begin to say that a script may not do something
    NOT_PERMITTED = ("The user executing the script", "ACL failure in script")

    def get(self, words: str, default: Any = None) -> Any:
        if words.startswith(self.NOT_PERMITTED):
            return redis.exceptions.NoPermissionError
        return super().get(words, default)


BaseParser.EXCEPTION_CLASSES["ERR"] = _ByWords(cast("dict[str, Any]", BaseParser.EXCEPTION_CLASSES["ERR"]))


class RefusedForNow(redis.exceptions.ResponseError):
    """An answer of Redis that passes, for which redis-py has no class."""


#: it cannot write to its disk; has too few replicas; runs a script that does not end; has become a replica, which ends
#: what waited there
for _code in ("MISCONF", "NOREPLICAS", "BUSY", "UNBLOCKED"):
    BaseParser.EXCEPTION_CLASSES[_code] = RefusedForNow

#: what a store says that is away for a while, or takes nothing: full, a replica, starting, failing over, with an ACL
#: that lacks something
STORE_AWAY = (
    RefusedForNow,
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.NoPermissionError,
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
    run = run_id(client) or ""
    if client.hget(keys.LANES, "run") not in (run, run.encode()):
        client.delete(keys.LANES)
        client.hset(keys.LANES, mapping={"run": run, "since": int(time.time() * 1e6)})
    for lane in ("text", "media"):
        client.delete(keys.quota(appid, lane), keys.ring(appid, lane))
        client.hset(keys.LANES, f"{appid}:{lane}", "vouched")


def run_id(client: Redis) -> str | None:
    """The run of this Redis, as scripts see it: by another one they know that it was restarted, or is another Redis. A
    proxy between may hide it from ``INFO``."""
    found: Any = client.eval("return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')", 0)
    return found.decode() if isinstance(found, bytes) else found


def reason(error: BaseException | None) -> str:
    """Why the store took nothing: the kind of ``error``, and what it says of rights, which quotes nothing."""
    kind = type(error).__name__
    if not isinstance(error, redis.exceptions.NoPermissionError):
        return kind
    # redis-py quotes the command with its arguments before this
    return f"{kind}: {str(error).rpartition(' of pipeline caused error: ')[2]}"


def without_password(url: str) -> str:
    """``url`` for people to read: scheme, host, port and database, and none of its secrets."""
    parts = urlsplit(url)
    where = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{where}{parts.path}"


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
