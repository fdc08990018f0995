"""The record of a check: who may send it, and what its end publishes, on a real Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from config import keys
from tests.support.runs import FOLLOW_UPS, run_named
from tests.support.system import System
from worker.outbox import Also
from worker.parking import Parking, Superseded
from worker.records import KEEP_DONE, KEEP_DONE_LEAST, KEEP_SENDING, Records
from worker.shelf import Shelf

APPID = "wx1"
PUSH = {"trace_id": "t1"}
RECORD = keys.record("task")


@pytest.fixture
def store(system: System) -> Iterator[redis.Redis]:
    with system.database(10) as client:
        yield client


@pytest.fixture
def records(store: redis.Redis) -> Records:
    return Records(store, 60)


@pytest.fixture
def parking(store: redis.Redis) -> Parking:
    return Parking(store, push_timeout=1860, lease=60)


def lease_ends(store: redis.Redis) -> None:
    """Lets the time pass in which the call was to end."""
    store.hset(RECORD, "lease", 1)


def published(store: redis.Redis) -> list[str]:
    return store.lrange(FOLLOW_UPS, 0, -1)[::-1]


# -- sending -----------------------------------------------------------------------------------------------------------


def test_one_run_sends_a_check_while_the_others_wait(records: Records) -> None:
    assert records.begin("task", "one", 5).state == "go"
    other = records.begin("task", "two", 5)
    assert other.state == "busy"
    assert 10 < other.seconds <= 15
    assert records.begin("task", "one", 5).state == "go"  # with a new token, for example


def test_a_check_whose_run_died_is_sent_by_another(records: Records, store: redis.Redis) -> None:
    records.begin("task", "one", 5)
    lease_ends(store)
    assert records.begin("task", "two", 5).state == "go"
    assert records.begin("task", "one", 5).state == "busy"


def test_what_a_run_does_not_send_after_all_another_one_may(records: Records, store: redis.Redis) -> None:
    records.begin("task", "one", 5)
    records.release("task", "two")
    assert records.begin("task", "two", 5).state == "busy"
    records.release("task", "one")
    assert not store.exists(RECORD)
    assert records.begin("task", "two", 5).state == "go"


def test_a_check_on_the_shelf_may_be_sent_by_the_run_that_finds_it_there(records: Records, store: redis.Redis) -> None:
    records.begin("task", "one", 5)
    Shelf(store).put("task", {}, until=1, run="two")
    assert records.begin("task", "two", 5).state == "busy"
    Shelf(store).put("task", {}, until=1, run="one")
    assert records.begin("task", "two", 5).state == "go"


def test_a_check_that_waits_or_is_done_is_not_sent_again(
    records: Records, parking: Parking, store: redis.Redis
) -> None:
    assert not records.is_sent("task")
    records.begin("task", "one", 5)
    assert not records.is_sent("task")
    parking.park(APPID, "t1", "task", "{}", "one")
    assert records.begin("task", "two", 5).state == "waiting"
    assert records.is_sent("task")
    parking.push(APPID, PUSH)
    assert records.begin("task", "two", 5).state == "waiting"
    parking.claim(APPID, "t1", "task", "finish")
    parking.finished(APPID, "t1", "task", "done", run_named("finish"))
    assert records.begin("task", "two", 5).state == "done"
    assert records.is_sent("task")


def test_a_record_leaves_the_store_though_nobody_ends_the_check(records: Records, store: redis.Redis) -> None:
    records.begin("task", "one", 5)
    assert 0 < store.ttl(RECORD) <= KEEP_SENDING


def test_a_parked_check_keeps_its_record_however_long_it_waits(
    records: Records, parking: Parking, store: redis.Redis
) -> None:
    records.begin("task", "one", 5)
    parking.park(APPID, "t1", "task", "{}", "one")
    assert store.ttl(RECORD) == -1


# -- the call of a run that is too late --------------------------------------------------------------------------------


def test_a_run_that_another_one_has_overtaken_parks_nothing_and_its_push_is_orphaned(
    records: Records, parking: Parking, store: redis.Redis
) -> None:
    records.begin("task", "one", 5)
    lease_ends(store)
    records.begin("task", "two", 5)
    with pytest.raises(Superseded):
        parking.park(APPID, "t1", "task", "{}", "one")
    assert parking.park(APPID, "t2", "task", "{}", "two") is False
    assert parking.push(APPID, PUSH)[0] == "early"
    store.zadd(keys.DUE, {f"{APPID}:t1": 1})
    assert parking.overdue(10) == []
    assert store.hget(keys.COUNTERS, "push_orphaned") == "1"
    assert parking.push(APPID, {"trace_id": "t2"})[0] == "matched"


def test_a_run_that_comes_when_the_check_is_done_parks_nothing(records: Records, parking: Parking) -> None:
    records.begin("task", "one", 5)
    assert records.end("task", run_named("one")) == "ended"
    with pytest.raises(Superseded):
        parking.park(APPID, "t1", "task", "{}", "one")


# -- the end -----------------------------------------------------------------------------------------------------------


def test_an_end_publishes_what_follows_in_its_order(records: Records, store: redis.Redis) -> None:
    records.begin("task", "one", 5)
    assert records.end("task", run_named("one", "first", "second")) == "ended"
    assert published(store) == ["first", "second"]
    assert store.hgetall(RECORD) == {"state": "done", "run": "one"}
    assert 0 < store.ttl(RECORD) <= KEEP_DONE * 60


def test_a_mark_outlasts_a_lane_that_is_closed_for_some_minutes(store: redis.Redis) -> None:
    Records(store, 5).end("task", run_named("one"))
    assert KEEP_DONE_LEAST - 5 < store.ttl(RECORD) <= KEEP_DONE_LEAST


@pytest.mark.parametrize("end", ["ended", "parked"])
def test_a_copy_that_was_shelved_while_another_run_sent_the_check_does_not_come_back(
    records: Records, parking: Parking, store: redis.Redis, end: str
) -> None:
    records.begin("task", "one", 5)
    assert records.begin("task", "two", 5).state == "busy"
    Shelf(store).put("task", {}, until=1, run="two")
    if end == "ended":
        assert records.end("task", run_named("one")) == "ended"
    else:
        parking.park(APPID, "t1", "task", "{}", "one")
    assert Shelf(store).due(10) == []
    assert not store.exists(keys.SHELF, keys.shelved("task"))


def test_an_end_that_is_told_twice_publishes_once(records: Records, store: redis.Redis) -> None:
    """The answer to the first time may have been lost."""
    assert records.end("task", run_named("one", "follow-up")) == "ended"
    assert records.end("task", run_named("one", "follow-up")) == "ended"
    assert published(store) == ["follow-up"]


def test_an_end_by_another_run_publishes_nothing(records: Records, parking: Parking, store: redis.Redis) -> None:
    records.end("task", run_named("one", "of one"))
    assert records.end("task", run_named("two", "of two")) == "repeated"
    records.begin("other", "one", 5)
    parking.park(APPID, "t1", "other", "{}", "one")
    assert records.end("other", run_named("two", "of two")) == "repeated"
    assert published(store) == ["of one"]


def test_a_check_is_not_ended_by_a_run_while_another_one_sends_it(records: Records, store: redis.Redis) -> None:
    records.begin("task", "one", 5)
    assert records.end("task", run_named("two", "of two")) == "busy"
    assert records.end("task", run_named("one", "of one")) == "ended"
    assert published(store) == ["of one"]


def test_of_two_runs_the_one_that_took_over_ends_the_check(records: Records, store: redis.Redis) -> None:
    records.begin("task", "one", 5)
    lease_ends(store)
    records.begin("task", "two", 5)
    assert records.end("task", run_named("one", "of one")) == "busy"
    assert records.end("task", run_named("two", "of two")) == "ended"
    assert records.end("task", run_named("one", "of one")) == "repeated"
    assert published(store) == ["of two"]


def finishing(parking: Parking, run: str) -> None:
    parking.park(APPID, "t1", "task", "{}", "sender")
    parking.push(APPID, PUSH)
    parking.claim(APPID, "t1", "task", run)


def test_a_finish_publishes_what_follows_once_however_often_it_is_told(parking: Parking, store: redis.Redis) -> None:
    finishing(parking, "one")
    for _ in range(2):
        assert parking.finished(APPID, "t1", "task", "done", run_named("one", "follow-up"))
    assert published(store) == ["follow-up"]
    assert store.hget(keys.COUNTERS, "media_done") == "1"


def test_a_finish_whose_claim_another_run_has_taken_over_publishes_nothing(
    parking: Parking, store: redis.Redis
) -> None:
    finishing(parking, "one")
    assert parking.claim(APPID, "t1", "task", "two") is None
    store.hset(keys.check(f"{APPID}:t1"), "claimed", 1)  # the lease of the first one is over
    assert parking.claim(APPID, "t1", "task", "two") is not None
    assert not parking.finished(APPID, "t1", "task", "done", run_named("one", "of one"))
    assert parking.finished(APPID, "t1", "task", "done", run_named("two", "of two"))
    assert not parking.finished(APPID, "t1", "task", "done", run_named("one", "of one"))
    assert published(store) == ["of two"]


def test_what_else_belongs_to_an_end_happens_with_it(records: Records, store: redis.Redis) -> None:
    run = run_named("one", "follow-up")
    script = store.register_script("return redis.call('SET', KEYS[1], ARGV[1])")
    run.also.append(Also(script, ["beside"], ["done"]))
    assert records.end("task", run) == "ended"
    assert (published(store), store.get("beside")) == (["follow-up"], "done")


def test_what_else_belongs_to_an_end_does_not_happen_where_another_run_has_ended_the_check(
    records: Records, store: redis.Redis
) -> None:
    records.end("task", run_named("one"))
    late = run_named("two")
    late.also.append(Also(store.register_script("return redis.call('SET', KEYS[1], ARGV[1])"), ["beside"], ["done"]))
    assert records.end("task", late) == "repeated"
    assert not store.exists("beside")
