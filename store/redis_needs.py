"""The rights that each process needs on Redis, as rules of an ACL; ``docs/redis.md`` has the whole lines. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from config.redis_url import is_redis
from config.settings import PREFIX

if TYPE_CHECKING:
    from config.settings import Settings

Asking = Literal["worker", "endpoint", "board", "application"]


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

    def rules(self) -> str:
        """Return the rules of an ACL that grant these rights."""
        rules = [f"~{key}" for key in self.keys] + [f"&{channel}" for channel in self.channels]
        return " ".join(rules + [f"+{command}" for command in sorted(self.commands)])


#: commands of every process, to reach Redis and to try its rights there
_ALL = "eval multi ping select"
#: Celery and kombu: queues with their bindings, commands to workers and their answers, events
_CONSUMES = (
    "blmove brpop del evalsha exec exists expire get hdel hexists hget hset llen lpush lrange lrem pexpire "
    "psubscribe publish punsubscribe rpop rpush sadd script|exists script|load set smembers srem subscribe time "
    "type unsubscribe zadd zrange zrangebyscore zrem"
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
#: kombu in an application: gives back the messages of a lost worker, in transactions
_KOMBU = "unwatch watch zrevrangebyscore"

_QUEUES = ("_kombu.binding*", "*.celery.pidbox*", "celeryev.*")
_RESULT_KEYS = ("celery-task-meta-*", "celery-taskset-meta-*")


def _access(commands: str, keys: tuple[str, ...] = (), channels: tuple[str, ...] = ()) -> Access:
    return Access(frozenset(f"{_ALL} {commands}".split()), keys, channels)


def _events(database: str) -> tuple[str, ...]:
    """Return kombu's channels on a database. Subscribing to a pattern needs the right to that very pattern."""
    return (f"/{database}.celery.pidbox", f"/{database}.celeryev/*", f"/{database}.celeryev/worker.*")


def store_access(process: Asking) -> Access:
    """Return the rights on the store that ``process`` needs."""
    match process:
        case "worker":
            return _access(_WORKS, ("wxcheck*",))
        case "application":
            return Access()
        case _:
            return _access(_COUNTS, ("wxcheck*",))


def broker_access(process: Asking, database: str) -> Access:
    """Return the rights on a Redis broker that ``process`` needs.

    A worker also needs the application's queues of follow-ups, whose names are not known here.
    """
    match process:
        case "worker":
            # the last two: the command line looks for a message, and counts those that are not filed yet
            return _access(f"{_CONSUMES} hscan zcard", ("wxcheck*", *_QUEUES), _events(database))
        case "endpoint":
            return _access(f"{_ASKS} lpush", ("wxcheck*", *_QUEUES), _events(database)[:1])
        case "board":
            return _access(_ASKS, ("wxcheck*", *_QUEUES), _events(database)[:1])
        case "application":
            keys = ("wxcheck.text*", "wxcheck.media*", "unacked*", *_QUEUES)
            return _access(f"{_CONSUMES} {_KOMBU}", keys, _events(database))


def results_access(process: Asking) -> Access:
    """Return the rights on a Redis result backend that ``process`` needs."""
    if process in ("worker", "application"):
        return _access(_RESULTS, _RESULT_KEYS, ("celery-task-meta-*",))
    return Access()


def needs(settings: Settings, process: Asking) -> dict[str, tuple[str, Access]]:
    """Return the rights that ``process`` needs: URL of a Redis -> the setting that names it, and the rights."""
    found: dict[str, tuple[str, Access]] = {}
    asked = (
        ("REDIS_URL", settings.redis_url, store_access(process)),
        ("BROKER_URL", settings.broker, broker_access(process, _database(settings.broker))),
        ("RESULT_BACKEND", settings.backend, results_access(process)),
    )
    for name, url, access in asked:
        if access.commands and is_redis(url):
            setting, before = found.get(url, (PREFIX + name, Access()))
            found[url] = setting, before | access
    return found


def _database(url: str) -> str:
    return urlsplit(url).path.strip("/") or "0"
