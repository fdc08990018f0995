"""A process's counts get into the store once, by the minute and the hour, and hold nothing that users wrote.

Tests: store.watch.statistics, store.watch.presence, store.watch.counters, store.keys, status.counted
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import redis
from redis.exceptions import ConnectionError as StoreAway

from config.settings import Settings
from status.counted import Rings
from store import keys
from store.watch.presence import alive, beat, known, leave
from store.watch.servers import Servers
from store.watch.statistics import NEWEST, Statistics
from tests.support.ports import free_port
from tests.support.system import System
from wxcheck import CheckRefused, InvalidCheck, MediaUnavailable


@pytest.fixture
def store(system: System) -> Iterator[redis.Redis]:
    with system.database(9) as client:
        yield client


def now(store: redis.Redis) -> float:
    return float(store.time()[0])


def test_counts_of_several_processes_add_up(store: redis.Redis) -> None:
    for _ in range(2):
        statistics = Statistics(store)
        for _ in range(3):
            statistics.count("calls", "wx1", "text", "sent")
        statistics.write()
    counted = Rings(store).read(now(store))
    assert counted.hour["calls|wx1|text|sent"] == 6
    assert counted.day["calls|wx1|text|sent"] == 6
    assert abs(counted.latest["calls|wx1|text|sent"] - now(store)) < 60
    assert Rings(store).totals() == {"calls|wx1|text|sent": 6}


def test_what_was_written_is_not_written_again(store: redis.Redis) -> None:
    statistics = Statistics(store)
    statistics.count("push", "matched")
    statistics.write()
    statistics.write()
    assert Rings(store).totals() == {"push|matched": 1}


def test_what_a_store_that_is_away_did_not_take_is_written_when_it_is_back(store: redis.Redis) -> None:
    with redis.Redis(port=free_port(), decode_responses=True) as nobody:
        statistics = Statistics(nobody)
        statistics.count("push", "early")
        statistics.failure(InvalidCheck("empty"), "task-1", None)
        with pytest.raises(StoreAway):
            statistics.write()
        statistics.count("push", "early")
        # as if it were back under its address
        nobody.connection_pool = store.connection_pool
        statistics.write()
    assert Rings(store).totals() == {"push|early": 2, "failed|InvalidCheck|": 1}
    assert store.llen(keys.FAILURES) == 1


def test_minutes_and_hours_expire(store: redis.Redis) -> None:
    statistics = Statistics(store)
    statistics.count("push", "matched")
    statistics.write()
    rings = list(store.scan_iter(f"{keys.STATISTICS}:[mh]:*"))
    assert len(rings) == 2
    assert all(0 < int(store.ttl(key)) <= 26 * 3600 for key in rings)


def test_of_failures_the_newest_are_kept_with_nothing_that_a_user_wrote(store: redis.Redis) -> None:
    statistics = Statistics(store)
    statistics.failure(InvalidCheck("content: 'my secret'"), "task-0", "wx1")
    for number in range(NEWEST + 20):
        statistics.failure(CheckRefused(40164, "invalid ip", "rid-1"), f"task-{number + 1}", "wx1")
    statistics.write()
    stored = store.lrange(keys.FAILURES, 0, -1)
    assert len(stored) == NEWEST
    newest = json.loads(stored[0])
    assert (newest["task_id"], newest["errcode"], newest["rid"]) == (f"task-{NEWEST + 20}", 40164, "rid-1")
    assert "secret" not in str(store.hgetall(keys.STATISTICS)) + str(stored)


@pytest.mark.parametrize(
    ("failure", "field"),
    [
        (CheckRefused(40164, ""), "failed|CheckRefused|40164"),
        (CheckRefused(123456, ""), "failed|CheckRefused|other"),
        (MediaUnavailable(-1008, ""), "failed|MediaUnavailable|-1008"),
        (ValueError("what a user wrote"), "failed|other|"),
    ],
)
def test_a_failure_is_counted_under_one_of_a_limited_number_of_names(
    store: redis.Redis, failure: Exception, field: str
) -> None:
    statistics = Statistics(store)
    statistics.failure(failure, "task", None)
    statistics.write()
    assert list(Rings(store).totals()) == [field]


def test_delays_are_counted_in_buckets(store: redis.Redis) -> None:
    statistics = Statistics(store)
    for seconds in (0.2, 0.5, 3, 5000):
        statistics.delay(seconds)
    statistics.write()
    assert Rings(store).totals() == {"delay|0.5": 2, "delay|5": 1, "delay|+Inf": 1, "delay_sum": 5_003_700}


def test_a_process_is_alive_while_it_says_so(system: System, store: redis.Redis) -> None:
    servers = Servers(Settings(_env_file=None, redis_url=system.database_url(9)))
    beat(store, "text@host", "worker", servers, ["wxcheck.text"], "threads", 96)
    beat(store, "host:1", "endpoint", servers)
    assert [(found.name, found.queues) for found in alive(store)] == [("host:1", []), ("text@host", ["wxcheck.text"])]
    leave(store, "host:1")
    told = json.loads(store.hget(keys.PROCESSES, "text@host") or "")
    store.hset(keys.PROCESSES, "text@host", json.dumps({**told, "at": told["at"] - 20}))
    assert alive(store) == []
    assert [found.name for found in known(store)] == ["text@host"]
    store.hset(keys.PROCESSES, "text@host", json.dumps({**told, "at": told["at"] - 4000}))
    assert known(store) == []
    assert store.hlen(keys.PROCESSES) == 0
