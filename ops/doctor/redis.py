"""The look at a Redis that holds checks: it must answer, lose nothing by itself, take writes, and be quick."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ops.doctor.finding import Finding
from store.connection import connect
from store.redis_check import faults_of
from store.redis_needs import needs
from store.watch.redis_health import told

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from redis import Redis

    from config.settings import Settings

#: seconds for connecting, and for each answer
PATIENCE = 3
#: seconds beyond which an answer is slow: a check waits for some ten answers
SLOW = 0.05
#: number of pings; the quickest counts
PINGS = 5
#: share of Redis' memory beyond which it will be full soon
NEARLY_FULL = 0.9
#: fields of INFO about the last writes to the disk
_WRITES = ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield the findings about the store, and about a worker's rights in each Redis."""
    lacks = [
        fault
        for url, (setting, access) in needs(settings, "worker").items()
        for fault in faults_of(url, setting, access)
    ]
    for fault in lacks:
        said, _, remedy = fault.rpartition(". ")
        yield Finding("bad", "the store", said or fault, remedy if said else "see docs/redis.md")
    if not lacks:
        yield from look("the store", settings.redis_url, "WXCHECK_REDIS_URL")


def look(role: str, url: str, setting: str) -> Iterator[Finding]:
    """Yield the findings about one Redis. Raises as redis-py does.

    ``role``: the store, the broker or the result backend. ``setting``: name of the setting with its URL.
    """
    with connect(url, PATIENCE, retries=0) as client:
        lost = told(client)
        for fault in lost:
            said, _, remedy = fault.rpartition(": ")
            yield Finding("bad", role, said, remedy)
        info = {name: value for part in _PARTS for name, value in client.info(part).items()}
        found = list(doubts(role, info, min(_ping(client) for _ in range(PINGS)), setting))
    yield from found
    if not lost and not found:
        yield Finding("ok", role, "keeps what it has: appendonly yes, maxmemory-policy noeviction")


_PARTS = ("memory", "persistence", "replication", "cluster")


def doubts(role: str, info: Mapping[str, Any], seconds: float, setting: str) -> Iterator[Finding]:
    """Yield what hinders checks now or soon, by Redis' ``INFO`` and the seconds of its answer. Pure."""
    if info.get("role") == "slave":
        yield Finding("bad", role, "it is a replica, which takes no writes", f"set {setting} to its master")
    if int(info.get("cluster_enabled", 0)):
        said = "it is a node of a Redis Cluster, which holds a part of the keys only"
        yield Finding("bad", role, said, f"set {setting} to a single Redis, with a replica if you like")
    most, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    if most and used > NEARLY_FULL * most:
        full = "; it takes no further check" if used >= most else ""
        yield Finding("bad", role, f"{used / most:.0%} of its memory are used{full}", "raise maxmemory")
    for field in _WRITES:
        if info.get(field, "ok") != "ok":
            said = f"it could not write to its disk ({field} {info[field]}), and may refuse what is written meanwhile"
            yield Finding("bad", role, said, "make room on its disk, and see that its directory can be written to")
    if seconds > SLOW:
        said = f"it answers after {seconds * 1000:.0f} ms, and a check asks it some ten times"
        yield Finding("warn", role, said, "have it in the same network as the workers; see redis-cli slowlog get")


def _ping(client: Redis) -> float:
    began = time.monotonic()
    client.ping()
    return time.monotonic() - began
