"""Settings of a Redis under which it may lose checks. Pure, except for :func:`told`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from config.logs import Log

log = Log(__name__)

#: oldest version: only since Redis 7 may the scripts that take messages run while memory is used up
OLDEST = 7


def faults(info: Mapping[str, Any]) -> list[str]:
    """Return the faults of a Redis, each with its remedy.

    ``info``: its ``INFO`` and, if Redis tells it, ``appendfsync``.
    """
    found = []
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        found.append(
            f"it drops keys when its memory is used up (maxmemory-policy {policy}), and with them checks: "
            "set maxmemory-policy noeviction"
        )
    if not int(info.get("aof_enabled", 0)):
        found.append(
            "it keeps nothing, or only snapshots, when it ends (appendonly no), and checks that wait are lost with it: "
            "set appendonly yes"
        )
    elif info.get("appendfsync", "always") != "always":
        found.append(
            f"when it is killed it forgets what it said it had taken in its last moments (appendfsync "
            f"{info['appendfsync']}), checks and verdicts among it: set appendfsync always"
        )
    version = str(info.get("valkey_version") or info.get("redis_version") or OLDEST)
    if int(version.split(".")[0]) < OLDEST:
        found.append(f"it is version {version}: {OLDEST} or newer is needed")
    return found


def told(client: Redis) -> list[str]:
    """Return the faults of the Redis of ``client``. Raises as redis-py does."""
    info = {**client.info("server"), **client.info("memory"), **client.info("persistence")}
    try:
        info["appendfsync"] = client.config_get("appendfsync")["appendfsync"]
    except ResponseError:  # a hosted Redis does not tell
        log.debug("appendfsync_not_told")
    return faults(info)
