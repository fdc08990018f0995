"""The processes that run: each reports every few seconds, and silent ones are forgotten."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal, cast

from store import keys
from store.watch.servers import Server

if TYPE_CHECKING:
    from redis import Redis

    from store.watch.servers import Servers

#: seconds between two signs of life
INTERVAL = 2.0
#: seconds from its last sign of life for which a process counts as alive, and after which it is forgotten
ALIVE, FORGOTTEN = 15.0, 3600.0

Kind = Literal["worker", "endpoint", "board"]


@dataclass(frozen=True)
class Presence:
    """A process at its last sign of life."""

    #: node name of a worker; host name and process id of any other process
    name: str
    kind: Kind
    #: queues that a worker consumes
    queues: list[str]
    #: Celery's name of a worker's pool, and its slots
    pool: str | None
    slots: int | None
    version: str
    #: time of the sign, in seconds since the epoch on Redis' clock
    at: float
    #: time of the process' own clock at that moment
    clock: float
    #: role of :data:`store.watch.servers.ROLES` -> the process' server: store, broker, results
    servers: dict[str, Server] = field(default_factory=dict)
    #: seconds since the sign
    age: float = 0.0

    @property
    def clock_offset(self) -> float:
        """Seconds that the process' clock is ahead of Redis'."""
        return self.clock - self.at

    @property
    def is_alive(self) -> bool:
        return self.age < ALIVE


def own_name() -> str:
    """Return a name for a process without a name of its own."""
    return f"{os.uname().nodename}:{os.getpid()}"


def beat(
    redis: Redis,
    name: str,
    kind: Kind,
    servers: Servers,
    queues: list[str] | None = None,
    pool: str | None = None,
    slots: int = 0,
) -> None:
    """Write a sign of life of a process. Raises as redis-py does."""
    had = servers.told()
    now, clock = _now(redis), time.time()
    told = Presence(name, kind, queues or [], pool, slots or None, version("wxcheck"), now, clock, had)
    redis.hset(keys.PROCESSES, name, json.dumps(asdict(told)))


def leave(redis: Redis, name: str) -> None:
    """Remove a process that ends."""
    redis.hdel(keys.PROCESSES, name)


def known(redis: Redis) -> list[Presence]:
    """Return all processes with a sign of life within the hour, by name; forget the others."""
    now = _now(redis)
    found, gone = [], []
    for name, text in cast("dict[str, str]", redis.hgetall(keys.PROCESSES)).items():
        told = json.loads(text)
        told["age"] = now - told["at"]
        # a negative age: Redis' clock was put back
        if abs(told["age"]) > FORGOTTEN:
            gone.append(name)
        else:
            told["servers"] = {role: Server(*server) for role, server in told["servers"].items()}
            found.append(Presence(**told))
    if gone:
        redis.hdel(keys.PROCESSES, *gone)
    return sorted(found, key=lambda process: process.name)


def alive(redis: Redis) -> list[Presence]:
    """Return the processes that run."""
    return [process for process in known(redis) if process.is_alive]


def _now(redis: Redis) -> float:
    seconds, microseconds = redis.time()
    return float(seconds + microseconds / 1e6)
