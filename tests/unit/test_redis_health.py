"""A Redis tells of itself whether it could lose checks."""

from __future__ import annotations

from typing import Any

import pytest

from store.watch.redis_health import faults

SAFE: dict[str, Any] = {
    "maxmemory_policy": "noeviction",
    "aof_enabled": 1,
    "appendfsync": "always",
    "redis_version": "7.2.4",
}


def test_a_redis_that_keeps_what_it_has_is_well() -> None:
    assert faults(SAFE) == []


@pytest.mark.parametrize(
    ("changes", "named", "remedy"),
    [
        ({"maxmemory_policy": "allkeys-lru"}, "maxmemory-policy allkeys-lru", "set maxmemory-policy noeviction"),
        ({"maxmemory_policy": "volatile-ttl"}, "maxmemory-policy volatile-ttl", "set maxmemory-policy noeviction"),
        ({"aof_enabled": 0}, "appendonly no", "set appendonly yes"),
        ({"appendfsync": "everysec"}, "appendfsync everysec", "set appendfsync always"),
        ({"redis_version": "6.2.14"}, "version 6.2.14", "7 or newer"),
        ({"redis_version": "7.2.4", "valkey_version": "6.0.0"}, "version 6.0.0", "7 or newer"),
    ],
)
def test_what_could_lose_checks_is_told_with_its_remedy(changes: dict[str, Any], named: str, remedy: str) -> None:
    (fault,) = faults({**SAFE, **changes})
    assert named in fault
    assert remedy in fault


def test_a_redis_that_does_not_tell_how_it_writes_is_taken_for_well() -> None:
    assert faults({name: value for name, value in SAFE.items() if name != "appendfsync"}) == []


def test_each_fault_is_told() -> None:
    assert len(faults({"maxmemory_policy": "allkeys-lfu", "aof_enabled": 0, "redis_version": "5.0"})) == 3
