"""Connections to the store."""

from __future__ import annotations

from typing import Any, cast

import redis.exceptions
from redis import BlockingConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.connection import DefaultParser
from redis.retry import Retry


class _ByWords(dict[str, Any]):
    """Error classes of errors without a code, by text: redis-py compares the whole text, this dict also its start."""

    #: beginnings of the errors of Redis, and of Valkey, for a script that lacks a right
    NOT_PERMITTED = ("The user executing the script", "ACL failure in script")

    def get(self, words: str, default: Any = None) -> Any:
        if words.startswith(self.NOT_PERMITTED):
            return redis.exceptions.NoPermissionError
        return super().get(words, default)


DefaultParser.EXCEPTION_CLASSES["ERR"] = _ByWords(cast("dict[str, Any]", DefaultParser.EXCEPTION_CLASSES["ERR"]))


class RefusedForNow(redis.exceptions.ResponseError):
    """Redis refuses a command for a reason that passes, and redis-py has no class for it."""


#: Redis cannot write to its disk; has too few replicas; runs a script that does not end; became a replica and so ended
#: a blocking command
for _code in ("MISCONF", "NOREPLICAS", "BUSY", "UNBLOCKED"):
    DefaultParser.EXCEPTION_CLASSES[_code] = RefusedForNow

#: errors of a store that is away for a while, or takes nothing: full, a replica, starting, failing over, short of
#: rights
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

#: most connections of a client. The threads of a process use one core together, which is busy with fewer answers
CONNECTIONS = 3


def connect(url: str, timeout: float, retries: int = 1, *, text: bool = True) -> Redis:
    """Return a client of a Redis that gives up: redis-py alone waits without bound, and repeats ten times.

    ``timeout``: seconds for connecting, for each answer, and for which a thread waits beyond :data:`CONNECTIONS` until
    another one has its answer. A retry serves a connection that was closed while idle; every script may be repeated.
    Without ``text``, answers are bytes.
    """
    pool: Any = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=timeout,
        decode_responses=text,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        socket_keepalive=True,
        health_check_interval=30,
        retry=Retry(NoBackoff(), retries),
    )
    return Redis.from_pool(pool)


def run_id(client: Redis) -> str | None:
    """Return the run id of this Redis, as scripts see it; None if a proxy hides it.

    A new run id tells scripts that Redis was restarted, or is another Redis. The id is asked for in a script, since a
    proxy may hide it from ``INFO``.
    """
    found: Any = client.eval("return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')", 0)
    return found.decode() if isinstance(found, bytes) else found


def reason(error: BaseException | None) -> str:
    """Return the reason for the store's refusal: the kind of ``error``, with its text if the text is about rights.

    A text about rights quotes no content.
    """
    kind = type(error).__name__
    if not isinstance(error, redis.exceptions.NoPermissionError):
        return kind
    # redis-py quotes the command with its arguments before these words
    return f"{kind}: {str(error).rpartition(' of pipeline caused error: ')[2]}"
