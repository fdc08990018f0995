"""Whether each Redis that holds checks is there, loses nothing by itself, and is quick."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from doctor.finding import Finding
from worker.redis_health import told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from worker.runtime import Runtime

#: seconds of an answer that takes long: a check waits for some ten of them
SLOW = 0.05
#: pings of which the quickest counts
PINGS = 5
#: share of its memory beyond which Redis will be full soon
NEARLY_FULL = 0.9


def examine(runtime: Runtime) -> Iterator[Finding]:
    for role, client in runtime.redises():
        yield from _one(role, client)


def _one(role: str, client: Redis) -> Iterator[Finding]:
    faults = told(client)
    for fault in faults:
        said, _, remedy = fault.rpartition(": ")
        yield Finding("bad", role, said, remedy)
    doubts = list(_doubts(role, client))
    yield from doubts
    if not faults and not doubts:
        yield Finding("ok", role, "keeps what it has: appendonly yes, maxmemory-policy noeviction")


def _doubts(role: str, client: Redis) -> Iterator[Finding]:
    info = {**client.info("memory"), **client.info("persistence"), **client.info("replication")}
    most, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    if most and used > NEARLY_FULL * most:
        yield Finding("bad", role, f"{used / most:.0%} of its memory are used", "raise maxmemory")
    if info.get("role") == "slave":
        yield Finding("bad", role, "it is a replica, which takes no writes", "set WXCHECK_REDIS_URL to its master")
    for field in ("aof_last_write_status", "aof_last_bgrewrite_status"):
        if info.get(field, "ok") != "ok":
            yield Finding("bad", role, f"it could not write to its disk ({field} {info[field]})", "make room there")
    quickest = min(_ping(client) for _ in range(PINGS))
    if quickest > SLOW:
        yield Finding(
            "warn", role, f"it answers after {quickest * 1000:.0f} ms", "have it in the same network as the workers"
        )


def _ping(client: Redis) -> float:
    began = time.monotonic()
    client.ping()
    return time.monotonic() - began
