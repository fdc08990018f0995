"""The record of a check says who may send it, and what its end publishes, on a real Redis.

Tests: store.records.records, store.outbox.outbox
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis

from store import keys
from store.outbox.outbox import Also
from store.parked.parked import CANCELLED, Kept, Parking, Superseded
from store.records.records import (
    KEEP_DONE,
    KEEP_DONE_LEAST,
    KEEP_ENDING,
    KEEP_SENDING,
    MARGIN,
    Lost,
    Over,
    Records,
    RecordState,
)
from store.shelf.shelf import Shelf
from store.watch.statistics import Statistics
from tests.support.runs import FOLLOW_UPS, run_named
from tests.support.sweeps import overdue, taken_off
from tests.support.system import System

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
    return Parking(store, push_timeout=1860, lease=60, statistics=Statistics(store))


@pytest.fixture
def shelf(store: redis.Redis) -> Shelf:
    return Shelf(store)


def lease_ends(store: redis.Redis) -> None:
    """Lets the time pass in which the call was to end."""
    store.hset(RECORD, "lease", 1)


def published(store: redis.Redis) -> list[str]:
    return [str(message) for message in reversed(store.lrange(FOLLOW_UPS, 0, -1))]


# -- sending -----------------------------------------------------------------------------------------------------------


def test_one_run_sends_a_check_while_the_others_wait(records: Records) -> None:
    began = time.monotonic()
    assert records.lease("task", "one", 5).state == "go"
    other = records.lease("task", "two", 5)
    passed = time.monotonic() - began
    assert other.state == "busy"
    assert 14 - passed < other.seconds <= 15
    assert records.lease("task", "one", 5).state == "go"  # with a new token, for example


def test_a_check_whose_run_died_is_sent_by_another(records: Records, store: redis.Redis) -> None:
    records.lease("task", "one", 5)
    lease_ends(store)
    assert records.lease("task", "two", 5).state == "go"
    assert records.lease("task", "one", 5).state == "busy"


def test_what_a_run_does_not_send_after_all_another_one_may(records: Records, store: redis.Redis) -> None:
    records.lease("task", "one", 5)
    records.give_up_lease("task", "two")
    assert records.lease("task", "two", 5).state == "busy"
    records.give_up_lease("task", "one")
    assert not store.exists(RECORD)
    assert records.lease("task", "two", 5).state == "go"


def test_a_check_on_the_shelf_may_be_sent_by_the_run_that_finds_it_there(records: Records, shelf: Shelf) -> None:
    records.lease("task", "one", 5)
    assert shelf.put("task", {}, until=1, run="two", why="busy") == "shelved"
    assert records.lease("task", "two", 5).state == "busy"
    assert shelf.put("task", {}, until=1, run="one", why="sent") == "shelved"
    assert shelf.put("task", {}, until=1, run="one", why="sent") == "shelved"  # the first answer was lost
    assert records.lease("task", "two", 5).state == "go"


def test_a_run_that_another_one_has_overtaken_shelves_nothing(
    records: Records, store: redis.Redis, shelf: Shelf
) -> None:
    records.lease("task", "one", 5)
    lease_ends(store)
    records.lease("task", "two", 5)
    assert shelf.put("task", {}, until=1, run="one", why="sent") == "lost"
    records.end_check("task", run_named("two"))
    assert shelf.put("task", {}, until=1, run="one", why="sent") == "over"
    store.delete(RECORD)
    assert shelf.put("task", {}, until=1, run="one", why="sent") == "lost"
    assert not store.exists(keys.SHELF, keys.shelved("task"))


def test_a_copy_is_put_off_only_while_another_run_sends_the_check(
    records: Records, parking: Parking, store: redis.Redis, shelf: Shelf
) -> None:
    records.lease("task", "one", 5)
    assert records.lease("task", "two", 5).state == "busy"
    records.give_up_lease("task", "one")  # it may have given its message back, or have none any more
    assert shelf.put("task", {}, until=1, run="two", why="busy") == "free"
    records.lease("task", "one", 5)
    shelf.put("task", {"retries": 1}, until=1, run="one", why="sent")
    assert shelf.put("task", {"retries": 0}, until=1, run="two", why="busy") == "over"
    assert taken_off(shelf, store, 1)[0].message == {"retries": 1}
    records.lease("other", "one", 5)
    parking.park(APPID, "t1", "other", Kept("{}"), "one")
    assert shelf.put("other", {}, until=1, run="two", why="busy") == "over"
    assert not store.exists(keys.shelved("other"))


def test_a_check_that_waits_or_is_done_is_not_sent_again(
    records: Records, parking: Parking, store: redis.Redis
) -> None:
    assert records.look("task") == "go"
    records.lease("task", "one", 5)
    assert records.look("task") == "go"
    parking.park(APPID, "t1", "task", Kept("{}"), "one")
    assert records.lease("task", "two", 5).state == "waiting"
    assert records.look("task") == "waiting"
    parking.match_push(APPID, PUSH)
    assert records.lease("task", "two", 5).state == "waiting"
    parking.claim_finish(APPID, "t1", "task", "finish")
    parking.end(APPID, "t1", "task", "done", run_named("finish"))
    assert records.lease("task", "two", 5).state == "done"
    assert records.look("task") == "done"


def test_a_record_leaves_the_store_though_nobody_ends_the_check(records: Records, store: redis.Redis) -> None:
    records.lease("task", "one", 5)
    assert 0 < store.ttl(RECORD) <= KEEP_SENDING


def test_a_parked_check_keeps_its_record_however_long_it_waits(
    records: Records, parking: Parking, store: redis.Redis
) -> None:
    records.lease("task", "one", 5)
    parking.park(APPID, "t1", "task", Kept("{}"), "one")
    assert store.ttl(RECORD) == -1


# -- the call of a run that is too late --------------------------------------------------------------------------------


def test_a_run_that_another_one_has_overtaken_parks_nothing_and_its_push_is_orphaned(
    records: Records, parking: Parking, store: redis.Redis
) -> None:
    records.lease("task", "one", 5)
    lease_ends(store)
    records.lease("task", "two", 5)
    with pytest.raises(Superseded):
        parking.park(APPID, "t1", "task", Kept("{}"), "one")
    assert parking.park(APPID, "t2", "task", Kept("{}"), "two") is False
    assert parking.match_push(APPID, PUSH)[0] == "early"
    store.zadd(keys.DUE, {f"{APPID}:t1": 1})
    assert overdue(parking, store, 10) == []
    assert store.hget(keys.COUNTERS, "push_orphaned") == "1"
    assert parking.match_push(APPID, {"trace_id": "t2"})[0] == "matched"


def test_a_run_that_finds_no_record_of_its_call_parks_nothing(
    records: Records, parking: Parking, store: redis.Redis
) -> None:
    records.lease("task", "one", 5)
    store.delete(RECORD)  # it stood still for so long that the mark of an end by another run is gone
    with pytest.raises(Superseded):
        parking.park(APPID, "t1", "task", Kept("{}"), "one")


def test_a_run_that_comes_when_the_check_is_done_parks_nothing(records: Records, parking: Parking) -> None:
    records.lease("task", "one", 5)
    assert records.end_check("task", run_named("one")) == "ended"
    with pytest.raises(Superseded):
        parking.park(APPID, "t1", "task", Kept("{}"), "one")


# -- the ending --------------------------------------------------------------------------------------------------------


def concluded(records: Records, run: str, ending: str, *, begun: bool) -> str:
    concluding = run_named(run)
    concluding.is_recorded = begun
    return records.note_ending("task", concluding, ending)[0]


def test_a_run_that_comes_after_takes_the_ending_of_the_one_that_died(records: Records, store: redis.Redis) -> None:
    records.lease("task", "one", 5)
    assert concluded(records, "one", "risky", begun=True) == "risky"
    assert records.lease("task", "two", 5).state == "busy"
    lease_ends(store)
    assert records.look("task") == "noted"
    assert KEEP_SENDING < store.ttl(RECORD) <= KEEP_ENDING
    assert records.lease("task", "two", 5) == RecordState("noted", ending="risky")
    assert KEEP_SENDING < store.ttl(RECORD) <= KEEP_ENDING
    # one that fails before it asks, too
    lease_ends(store)
    assert concluded(records, "three", "stale", begun=False) == "risky"


def test_an_ending_is_not_noted_twice(records: Records) -> None:
    records.lease("task", "one", 5)
    assert concluded(records, "one", "risky", begun=True) == "risky"
    assert concluded(records, "one", "pass", begun=True) == "risky"


def test_an_ending_outlasts_that_its_run_gives_the_check_back(records: Records) -> None:
    records.lease("task", "one", 5)
    concluded(records, "one", "risky", begun=True)
    records.give_up_lease("task", "one")
    assert records.lease("task", "two", 5) == RecordState("noted", ending="risky")


def test_a_check_that_fails_before_it_is_sent_has_its_ending(records: Records) -> None:
    assert concluded(records, "one", "stale", begun=False) == "stale"
    assert records.end_check("task", run_named("one")) == "ended"


def test_nothing_follows_from_a_failure_while_another_run_sends_the_check(records: Records) -> None:
    records.lease("task", "one", 5)
    with pytest.raises(Lost):
        concluded(records, "two", "stale", begun=False)
    records.end_check("task", run_named("one"))
    with pytest.raises(Over):
        concluded(records, "two", "stale", begun=False)


def test_nothing_follows_from_the_answer_to_a_run_that_another_one_has_overtaken(
    records: Records, store: redis.Redis
) -> None:
    records.lease("task", "one", 5)
    lease_ends(store)
    records.lease("task", "two", 5)
    with pytest.raises(Lost):
        concluded(records, "one", "pass", begun=True)
    records.end_check("task", run_named("two"))
    with pytest.raises(Over):
        concluded(records, "one", "pass", begun=True)
    store.delete(RECORD)  # so long afterwards that the mark is gone
    with pytest.raises(Lost):
        concluded(records, "one", "pass", begun=True)


def test_what_follows_an_ending_is_stored_under_a_lease(records: Records, store: redis.Redis) -> None:
    records.lease("task", "one", 5)
    lease_ends(store)
    began = time.monotonic()
    concluded(records, "one", "pass", begun=True)
    seconds = records.lease("task", "two", 5).seconds
    assert MARGIN - 1 - (time.monotonic() - began) <= seconds <= MARGIN + 1


# -- the end -----------------------------------------------------------------------------------------------------------


def test_an_end_publishes_what_follows_in_its_order(records: Records, store: redis.Redis) -> None:
    records.lease("task", "one", 5)
    assert records.end_check("task", run_named("one", "first", "second")) == "ended"
    assert published(store) == ["first", "second"]
    assert store.hget(RECORD, "state") == "done"
    assert 0 < store.ttl(RECORD) <= KEEP_DONE * 60


def test_a_mark_outlasts_a_lane_that_is_closed_for_some_minutes(store: redis.Redis) -> None:
    records = Records(store, 5)
    records.lease("task", "one", 5)
    began = time.monotonic()
    records.end_check("task", run_named("one"))
    ttl = int(store.ttl(RECORD))
    assert KEEP_DONE_LEAST - 5 - (time.monotonic() - began) < ttl <= KEEP_DONE_LEAST


@pytest.mark.parametrize("end", ["ended", "parked"])
def test_a_copy_that_was_shelved_while_another_run_sent_the_check_does_not_come_back(
    records: Records, parking: Parking, store: redis.Redis, shelf: Shelf, end: str
) -> None:
    records.lease("task", "one", 5)
    assert records.lease("task", "two", 5).state == "busy"
    shelf.put("task", {}, until=1, run="two", why="busy")
    if end == "ended":
        assert records.end_check("task", run_named("one")) == "ended"
    else:
        parking.park(APPID, "t1", "task", Kept("{}"), "one")
    assert taken_off(shelf, store, 10) == []
    assert not store.exists(keys.SHELF, keys.shelved("task"))


def test_an_end_that_is_told_twice_publishes_once(records: Records, store: redis.Redis) -> None:
    """The answer to the first time may have been lost."""
    records.lease("task", "one", 5)
    assert records.end_check("task", run_named("one", "follow-up")) == "ended"
    assert records.end_check("task", run_named("one", "follow-up")) == "ended"
    assert published(store) == ["follow-up"]


def test_an_end_by_another_run_publishes_nothing(records: Records, parking: Parking, store: redis.Redis) -> None:
    records.lease("task", "one", 5)
    records.end_check("task", run_named("one", "of one"))
    assert records.end_check("task", run_named("two", "of two")) == "repeated"
    records.lease("other", "one", 5)
    parking.park(APPID, "t1", "other", Kept("{}"), "one")
    assert records.end_check("other", run_named("two", "of two")) == "repeated"
    assert published(store) == ["of one"]


def test_a_check_is_not_ended_by_a_run_while_another_one_sends_it(records: Records, store: redis.Redis) -> None:
    records.lease("task", "one", 5)
    assert records.end_check("task", run_named("two", "of two")) == "lost"
    assert records.end_check("task", run_named("one", "of one")) == "ended"
    assert published(store) == ["of one"]


def test_of_two_runs_the_one_that_took_over_ends_the_check(records: Records, store: redis.Redis) -> None:
    records.lease("task", "one", 5)
    lease_ends(store)
    records.lease("task", "two", 5)
    assert records.end_check("task", run_named("one", "of one")) == "lost"
    assert records.end_check("task", run_named("two", "of two")) == "ended"
    assert records.end_check("task", run_named("one", "of one")) == "repeated"
    assert published(store) == ["of two"]


def test_a_run_that_finds_no_record_ends_nothing(records: Records, store: redis.Redis) -> None:
    records.lease("task", "one", 5)
    store.delete(RECORD)  # it stood still for so long that the mark of an end by another run is gone
    assert records.end_check("task", run_named("one", "of one")) == "lost"
    assert published(store) == []


def test_an_end_that_cannot_publish_all_publishes_nothing(
    records: Records, parking: Parking, store: redis.Redis
) -> None:
    """A script that fails is not undone."""
    store.set("a queue", "of another kind")
    run = run_named("one", "first")
    run.messages += ["a queue", "second"]
    records.lease("task", "one", 5)
    with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE a queue is a string"):
        records.end_check("task", run)
    records.give_up_lease("task", "one")
    finishing(records, parking, "one")
    with pytest.raises(redis.exceptions.ResponseError, match="WRONGTYPE a queue is a string"):
        parking.end(APPID, "t1", "task", "done", run)
    assert published(store) == []


def test_an_end_publishes_twenty_thousand_messages(records: Records, parking: Parking, store: redis.Redis) -> None:
    many = [str(number) for number in range(20_000)]
    records.lease("task", "one", 5)
    assert records.end_check("task", run_named("one", *many)) == "ended"
    store.delete(RECORD)
    finishing(records, parking, "two")
    assert parking.end(APPID, "t1", "task", "done", run_named("two", *many))
    assert published(store) == many + many


def test_a_finish_that_has_much_to_publish_is_claimed_for_longer(
    records: Records, parking: Parking, store: redis.Redis
) -> None:
    pushed(records, parking)
    store.set(keys.kept(f"{APPID}:t1"), "x" * 12_000_000)
    parking.claim_finish(APPID, "t1", "task", "one")
    claimed = float(store.hget(keys.check(f"{APPID}:t1"), "claimed") or 0)
    assert claimed - parking.now() > 60 + 100


def test_a_check_that_the_store_refuses_to_bring_on_holds_up_no_other(
    records: Records, parking: Parking, store: redis.Redis
) -> None:
    records.lease("task", "one", 5)
    parking.park(APPID, "t1", "task", Kept("{}"), "one")
    store.set(keys.check(f"{APPID}:broken"), "a text, where a check should be")
    store.zadd(keys.DUE, {f"{APPID}:broken": 1, f"{APPID}:t1": 2})
    assert [parked.task_id for parked in overdue(parking, store, 10)] == ["task"]
    later = store.zscore(keys.DUE, f"{APPID}:broken")
    assert later is not None
    assert later > parking.now() + 50


def test_refusals_of_an_end_are_counted_over_runs_that_give_the_check_back(
    records: Records, store: redis.Redis
) -> None:
    records.lease("task", "one", 5)
    assert records.count_refusal("task") == 1
    records.give_up_lease("task", "one")
    assert records.lease("task", "two", 5).state == "go"
    assert records.count_refusal("task") == 2
    assert 0 < store.ttl(RECORD) <= KEEP_SENDING
    assert records.end_check("task", run_named("two")) == "ended"
    assert not store.hexists(RECORD, "refused")


def pushed(records: Records, parking: Parking) -> None:
    records.lease("task", "sender", 5)
    parking.park(APPID, "t1", "task", Kept("{}"), "sender")
    parking.match_push(APPID, PUSH)


def finishing(records: Records, parking: Parking, run: str) -> None:
    pushed(records, parking)
    parking.claim_finish(APPID, "t1", "task", run)


def test_a_finish_publishes_what_follows_once_however_often_it_is_told(
    records: Records, parking: Parking, store: redis.Redis
) -> None:
    finishing(records, parking, "one")
    for _ in range(2):
        assert parking.end(APPID, "t1", "task", "done", run_named("one", "follow-up"))
    assert published(store) == ["follow-up"]
    assert store.hget(keys.COUNTERS, "media_done") == "1"


def test_a_finish_whose_claim_another_run_has_taken_over_publishes_nothing(
    records: Records, parking: Parking, store: redis.Redis
) -> None:
    finishing(records, parking, "one")
    assert parking.claim_finish(APPID, "t1", "task", "two") is None
    store.hset(keys.check(f"{APPID}:t1"), "claimed", 1)  # the lease of the first one is over
    assert parking.claim_finish(APPID, "t1", "task", "two") is not None
    assert not parking.end(APPID, "t1", "task", "done", run_named("one", "of one"))
    assert parking.end(APPID, "t1", "task", "done", run_named("two", "of two"))
    assert not parking.end(APPID, "t1", "task", "done", run_named("one", "of one"))
    assert published(store) == ["of two"]


def test_a_finish_is_claimed_again_by_the_run_that_has_it_whose_answer_was_lost(
    records: Records, parking: Parking
) -> None:
    finishing(records, parking, "one")
    assert parking.claim_finish(APPID, "t1", "task", "one") is not None
    assert parking.claim_finish(APPID, "t1", "task", "two") is None


def test_a_finish_that_is_given_back_may_be_claimed_at_once(records: Records, parking: Parking) -> None:
    finishing(records, parking, "one")
    parking.give_up_claim(APPID, "t1", "two")
    assert parking.claim_finish(APPID, "t1", "task", "two") is None
    parking.give_up_claim(APPID, "t1", "one")
    assert parking.claim_finish(APPID, "t1", "task", "two") is not None


def test_a_finish_whose_run_dies_is_published_again_as_soon_as_its_claim_is_over(
    records: Records, parking: Parking, store: redis.Redis
) -> None:
    finishing(records, parking, "one")
    parking.give_up_claim(APPID, "t1", "one")
    member = f"{APPID}:t1"
    store.zadd(keys.DUE, {member: 1e10})  # it was put off each time that it hung
    parking.claim_finish(APPID, "t1", "task", "two")
    assert store.zscore(keys.DUE, member) == pytest.approx(float(store.hget(keys.check(member), "claimed") or 0))


def test_a_check_that_was_revoked_ends_as_cancelled_by_whatever_run(records: Records, parking: Parking) -> None:
    pushed(records, parking)
    assert parking.claim_finish(APPID, "t1", "task", "one", CANCELLED) == CANCELLED
    parking.give_up_claim(APPID, "t1", "one")
    assert parking.claim_finish(APPID, "t1", "task", "two") == CANCELLED


def test_a_check_that_is_revoked_when_a_run_has_its_verdict_keeps_that(records: Records, parking: Parking) -> None:
    """The result of that run may be stored, and its part of a chord counted."""
    finishing(records, parking, "one")
    parking.give_up_claim(APPID, "t1", "one")
    assert parking.claim_finish(APPID, "t1", "task", "two", CANCELLED) == {"ended": "done", "push": PUSH}


def test_what_else_belongs_to_an_end_happens_with_it(records: Records, store: redis.Redis) -> None:
    run = run_named("one", "follow-up")
    script = store.register_script("return redis.call('SET', KEYS[1], ARGV[1])")
    run.also.append(Also(script, ["beside"], ["done"]))
    records.lease("task", "one", 5)
    assert records.end_check("task", run) == "ended"
    assert (published(store), store.get("beside")) == (["follow-up"], "done")


def test_what_else_belongs_to_an_end_happens_once_however_often_that_is_told(
    records: Records, store: redis.Redis
) -> None:
    run = run_named("one")
    run.also += [Also(store.register_script("return redis.call('INCR', KEYS[1])"), [key], []) for key in ("x", "y")]
    records.lease("task", "one", 5)
    assert [records.end_check("task", run) for _ in range(2)] == ["ended", "ended"]
    assert store.mget("x", "y") == ["1", "1"]


def test_what_else_belongs_to_an_end_does_not_happen_where_another_run_has_ended_the_check(
    records: Records, store: redis.Redis
) -> None:
    records.lease("task", "one", 5)
    records.end_check("task", run_named("one"))
    late = run_named("two")
    late.also.append(Also(store.register_script("return redis.call('SET', KEYS[1], ARGV[1])"), ["beside"], ["done"]))
    assert records.end_check("task", late) == "repeated"
    assert not store.exists("beside")
