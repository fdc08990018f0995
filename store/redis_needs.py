"""The rights that each process needs on Redis, as rules of an ACL; ``docs/redis.md`` has the whole lines. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from config.redis_url import is_redis
from config.settings import PREFIX

if TYPE_CHECKING:
    from config.settings import Settings

Asking = Literal["worker", "endpoint", "board"]


@dataclass(frozen=True)
class Access:
    """Rights on one Redis: commands, and patterns of keys and channels, as an ACL writes them."""

    commands: frozenset[str] = frozenset()
    keys: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()

    def __or__(self, other: Access) -> Access:
        return Access(
            self.commands | other.commands,
            tuple(dict.fromkeys(self.keys + other.keys)),
            tuple(dict.fromkeys(self.channels + other.channels)),
        )

    def rules(self) -> list[str]:
        """Return the rules of an ACL that grant these rights."""
        rules = [f"~{key}" for key in self.keys] + [f"&{channel}" for channel in self.channels]
        return rules + [f"+{command}" for command in sorted(self.commands)]


#: commands of every process, to reach Redis and to try its rights there
_ALL = "eval multi ping select"
#: Celery and kombu: queues with their bindings, commands to workers and their answers, events; hscan and zcard: the
#: command line looks for a message, and counts those that are not filed yet
_CONSUMES = (
    "blmove brpop del evalsha exec exists expire get hdel hexists hget hscan hset llen lpush lrange lrem pexpire "
    "psubscribe publish punsubscribe rpop rpush sadd script|exists script|load set smembers srem subscribe time "
    "type unsubscribe zadd zcard zrange zrangebyscore zrem"
)
#: Celery: results, and the parts of chords
_RESULTS = (
    "del evalsha exec exists expire get llen lrange mget publish rpush sadd script|exists script|load set setex "
    "sismember subscribe time unsubscribe zadd zcount zrange zrem"
)
#: the store of a worker
_WORKS = (
    "blpop decrby del evalsha exec exists expire get getrange hdel hexists hget hgetall hincrby hmget hscan hset "
    "hsetnx hstrlen incrby info llen lpush lrange ltrim mget publish rpop rpush script|load set setrange strlen time "
    "type zadd zcard zcount zrange zrank zrem zremrangebyrank zrevrange zscore"
)
#: the store of board and endpoint: numbers and metrics, and signs of life
_COUNTS = (
    "del evalsha exec expire get hdel hget hgetall hincrby hmget hset info llen lpush lrange ltrim script|load "
    "smembers time zcard zcount zrange zrem zrevrange zscore"
)
#: a question to the workers, and its answers; the messages in a queue
_ASKS = (
    "blmove del evalsha hdel hset lindex llen publish rpop sadd script|exists script|load set smembers srem time zadd "
    "zcard zrem"
)
_QUEUES = ("wxcheck*", "_kombu.binding*", "*.celery.pidbox*", "celeryev.*")


def _access(commands: str, keys: tuple[str, ...], channels: tuple[str, ...] = ()) -> Access:
    return Access(frozenset(f"{_ALL} {commands}".split()), keys, channels)


def needs(settings: Settings, process: Asking) -> dict[str, tuple[str, Access]]:
    """Return the rights that ``process`` needs: URL of a Redis -> the setting that names it, and the rights.

    A worker also needs the application's queues of follow-ups, whose names are not known here.
    """
    database = urlsplit(settings.broker).path.strip("/") or "0"
    pidbox = f"/{database}.celery.pidbox"
    if process == "worker":
        # subscribing to a pattern needs the right to that very pattern
        events = (pidbox, f"/{database}.celeryev/*", f"/{database}.celeryev/worker.*")
        store, broker = _access(_WORKS, ("wxcheck*",)), _access(_CONSUMES, _QUEUES, events)
        results = _access(_RESULTS, ("celery-task-meta-*", "celery-taskset-meta-*"), ("celery-task-meta-*",))
    else:
        asks = f"{_ASKS} lpush" if process == "endpoint" else _ASKS
        store, broker, results = _access(_COUNTS, ("wxcheck*",)), _access(asks, _QUEUES, (pidbox,)), Access()
    found: dict[str, tuple[str, Access]] = {}
    for name, url, access in (
        ("REDIS_URL", settings.redis_url, store),
        ("BROKER_URL", settings.broker, broker),
        ("RESULT_BACKEND", settings.backend, results),
    ):
        if access.commands and is_redis(url):
            setting, before = found.get(url, (PREFIX + name, Access()))
            found[url] = setting, before | access
    return found
