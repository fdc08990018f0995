"""Parked checks, the shelf and their sweeping keep their promises on a real Redis, at moments that no other test hits.

Tests: store.parked.parked, store.shelf.shelf, store.due.due, store.lanes, store.watch.counters, store.keys
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

from config.settings import MiniProgram
from store import keys
from store.connection import vouch
from store.lanes import Crowds
from store.outbox.outbox import Run
from store.parked.parked import Kept, Parking, TraceIdTaken
from store.quota.permits import Quota
from store.quota.rates import Rates
from store.records.records import Records
from store.shelf.shelf import Shelf
from store.watch.counters import Counters
from store.watch.statistics import Statistics
from tests.support.runs import run_named
from tests.support.sweeps import overdue, taken_off
from tests.support.system import System

APPID = "wx1"
Park = Callable[..., bool]
PUSH = {"trace_id": "t1", "version": 1, "isrisky": 0, "status_code": 0, "errmsg": "", "detail": []}


@pytest.fixture
def store(system: System) -> Iterator[redis.Redis]:
    with system.database(7) as client:
        yield client


@pytest.fixture
def parking(store: redis.Redis) -> Parking:
    return Parking(store, push_timeout=1860, lease=60, statistics=Statistics(store))


@pytest.fixture
def park(parking: Parking, store: redis.Redis) -> Park:
    """Parks a check that was sent."""

    def parked(trace_id: str, task_id: str, appid: str = APPID) -> bool:
        Records(store, 60).lease(task_id, "run", 5)
        return parking.park(appid, trace_id, task_id, Kept("{}"), "run")

    return parked


def counted(store: redis.Redis) -> dict[str, int]:
    return Counters(store).read()


def come_due(store: redis.Redis, key: str = keys.DUE) -> None:
    """Brings forward the time of everything that waits."""
    members: list[Any] = store.zrange(key, 0, -1)
    for member in members:
        store.zadd(key, {member: 1})


def together(count: int, call: Any) -> list[Any]:
    """The results of ``count`` calls that start at the same time in threads of their own."""
    barrier = threading.Barrier(count)

    def run(number: int) -> Any:
        barrier.wait()
        return call(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_a_parked_check_is_finished_by_its_push(parking: Parking, park: Park) -> None:
    assert park("t1", "task-1") is False
    what, parked = parking.match_push(APPID, PUSH)
    assert what == "matched"
    assert parked is not None
    assert (parked.task_id, parked.rest) == ("task-1", "{}")
    assert parking.claim_finish(APPID, "t1", "task-1", "run") == {"ended": "done", "push": PUSH}


def test_a_push_that_comes_first_is_kept_for_its_check(parking: Parking, park: Park, store: redis.Redis) -> None:
    assert parking.match_push(APPID, PUSH) == ("early", None)
    assert park("t1", "task-1") is True
    assert parking.claim_finish(APPID, "t1", "task-1", "run") == {"ended": "done", "push": PUSH}
    assert counted(store) == {"push_early": 1}


def test_of_many_pushes_and_a_check_at_the_same_time_exactly_one_publishes_the_finish(
    parking: Parking, park: Park, store: redis.Redis
) -> None:
    for round_ in range(40):
        trace_id = f"t-{round_}"

        def act(number: int, trace_id: str = trace_id) -> bool:
            if number == 0:
                return park(trace_id, f"task-{trace_id}")
            return parking.match_push(APPID, {**PUSH, "trace_id": trace_id})[1] is not None

        assert together(4, act).count(True) == 1
    assert counted(store)["push_repeated"] == 80


def test_the_first_of_two_different_pushes_counts(parking: Parking, park: Park, store: redis.Redis) -> None:
    park("t1", "task-1")
    parking.match_push(APPID, PUSH)
    assert parking.match_push(APPID, {**PUSH, "isrisky": 1})[0] == "repeated"
    outcome = parking.claim_finish(APPID, "t1", "task-1", "run")
    assert outcome is not None
    assert outcome["push"]["isrisky"] == 0
    assert counted(store)["push_repeated"] == 1


def test_a_finish_is_claimed_once_until_its_lease_is_over(parking: Parking, park: Park, store: redis.Redis) -> None:
    park("t1", "task-1")
    parking.match_push(APPID, PUSH)
    claims = together(8, lambda number: parking.claim_finish(APPID, "t1", "task-1", f"run-{number}"))
    assert len([claim for claim in claims if claim]) == 1
    store.hset(keys.check("wx1:t1"), "claimed", 1)  # the run that claimed it died long ago
    assert parking.claim_finish(APPID, "t1", "task-1", "run") is not None


def test_an_ended_check_is_not_claimed_again_and_leaves_a_mark_that_expires(
    parking: Parking, park: Park, store: redis.Redis
) -> None:
    park("t1", "task-1")
    parking.match_push(APPID, PUSH)
    parking.claim_finish(APPID, "t1", "task-1", "run")
    parking.end(APPID, "t1", "task-1", "done", run_named("run"))
    assert parking.claim_finish(APPID, "t1", "task-1", "run") is None
    assert parking.match_push(APPID, PUSH)[0] == "repeated"
    left = set(store.scan_iter("*")) - {keys.COUNTERS}
    assert left == {keys.check("wx1:t1"), keys.record("task-1")}
    assert all(0 < store.ttl(key) <= 3600 for key in left)


def test_a_check_times_out_once_however_many_sweep(parking: Parking, park: Park, store: redis.Redis) -> None:
    for number in range(20):
        park(f"t{number}", f"task-{number}")
    assert overdue(parking, store, 100) == []
    come_due(store)
    expired = [parked.task_id for swept in together(6, lambda _: overdue(parking, store, 100)) for parked in swept]
    assert sorted(expired) == sorted(f"task-{number}" for number in range(20))
    assert parking.claim_finish(APPID, "t0", "task-0", "run") == {"ended": "timeout"}
    assert counted(store)["push_missing"] == 20


def test_a_finish_that_hangs_is_published_again_when_its_lease_is_over(
    parking: Parking, park: Park, store: redis.Redis
) -> None:
    park("t1", "task-1")
    parking.match_push(APPID, PUSH)
    assert overdue(parking, store, 10) == []
    come_due(store)
    assert [parked.task_id for parked in overdue(parking, store, 10)] == ["task-1"]
    assert overdue(parking, store, 10) == []
    assert parking.claim_finish(APPID, "t1", "task-1", "run") == {"ended": "done", "push": PUSH}


def test_an_early_push_that_nobody_parks_is_dropped_and_counted(parking: Parking, store: redis.Redis) -> None:
    parking.match_push(APPID, PUSH)
    come_due(store)
    assert overdue(parking, store, 10) == []
    assert set(store.scan_iter("*")) == {keys.COUNTERS}
    assert counted(store) == {"push_orphaned": 1}


def test_parking_may_be_repeated_when_its_answer_was_lost(parking: Parking, park: Park, store: redis.Redis) -> None:
    assert park("t1", "task-1") is False
    assert park("t1", "task-1") is False
    parking.match_push(APPID, PUSH)
    assert park("t1", "task-1") is True
    parking.claim_finish(APPID, "t1", "task-1", "run")
    parking.end(APPID, "t1", "task-1", "done", run_named("run"))
    assert park("t1", "task-1") is False
    assert store.zcard(keys.DUE) == 0


def test_a_push_that_comes_between_the_time_out_and_its_finish_still_counts(
    parking: Parking, park: Park, store: redis.Redis
) -> None:
    park("t1", "task-1")
    come_due(store)
    assert len(overdue(parking, store, 10)) == 1
    assert parking.match_push(APPID, PUSH) == ("matched", None)
    assert parking.claim_finish(APPID, "t1", "task-1", "run") == {"ended": "done", "push": PUSH}


def test_a_push_after_the_time_out_was_said_is_late(parking: Parking, park: Park, store: redis.Redis) -> None:
    park("t1", "task-1")
    come_due(store)
    overdue(parking, store, 10)
    assert parking.claim_finish(APPID, "t1", "task-1", "run") == {"ended": "timeout"}
    assert parking.match_push(APPID, PUSH)[0] == "late"
    parking.end(APPID, "t1", "task-1", "timeout", run_named("run"))
    assert parking.match_push(APPID, PUSH)[0] == "late"


def test_a_finish_that_hangs_is_published_again_ever_more_rarely(
    parking: Parking, park: Park, store: redis.Redis
) -> None:
    park("t1", "task-1")
    parking.match_push(APPID, PUSH)
    waits = []
    for _ in range(3):
        come_due(store)
        overdue(parking, store, 10)
        waits.append((store.zscore(keys.DUE, "wx1:t1") or 0) - store.time()[0])
    assert waits == sorted(waits)
    assert waits[2] > 3 * waits[0]


def test_a_trace_id_that_another_check_has_is_refused(parking: Parking, park: Park) -> None:
    park("t1", "task-1")
    with pytest.raises(TraceIdTaken):
        park("t1", "task-2")


def test_two_appids_may_have_the_same_trace_id(parking: Parking, park: Park) -> None:
    park("t1", "task-1", "wx1")
    park("t1", "task-2", "wx2")
    _, parked = parking.match_push("wx2", PUSH)
    assert parked is not None
    assert parked.task_id == "task-2"


def test_a_check_that_does_not_wait_cannot_be_cancelled(parking: Parking, park: Park) -> None:
    assert parking.cancel("task-1") is None
    park("t1", "task-1")
    parking.match_push(APPID, PUSH)
    assert parking.cancel("task-1") is None


def test_checks_that_wait_for_their_push_are_listed_the_next_one_due_first(
    parking: Parking, park: Park, store: redis.Redis
) -> None:
    parking.match_push(APPID, PUSH)
    park("t2", "task-2")
    waiting = parking.waiting(10)
    assert [(entry.state, entry.trace_id, entry.task_id) for entry in waiting] == [
        ("early", "t1", None),
        ("waiting", "t2", "task-2"),
    ]
    assert len(parking.waiting(1)) == 1


def test_a_check_on_the_shelf_comes_back_when_its_time_has_come_and_not_before(store: redis.Redis) -> None:
    shelf = Shelf(store)
    now = store.time()[0]
    shelf.put("task-1", {"n": 1}, until=now - 1)
    shelf.put("task-2", {"n": 2}, until=now + 1000)
    shelf.put("task-3", {"n": 3}, until=now - 2)
    assert [shelved.message["n"] for shelved in taken_off(shelf, store, 10)] == [3, 1]
    assert store.zscore(keys.SHELF, "task-2") == now + 1000


def test_a_shelved_check_comes_back_once_however_many_sweep(store: redis.Redis) -> None:
    shelf = Shelf(store)
    for number in range(10):
        shelf.put(f"task-{number}", {"n": number}, until=1)
    taken = [shelved for due in together(5, lambda _: taken_off(shelf, store, 100)) for shelved in due]
    assert sorted(shelved.message["n"] for shelved in taken) == list(range(10))
    shelf.remove(taken[0])
    assert store.zcard(keys.SHELF) == 9


def test_a_check_that_is_shelved_again_at_once_stays_on_the_shelf(store: redis.Redis) -> None:
    shelf = Shelf(store)
    shelf.put("task-1", {"n": 1}, until=1)
    (shelved,) = taken_off(shelf, store, 10)
    shelf.put("task-1", {"n": 2}, until=1)  # it failed at once
    shelf.remove(shelved)
    assert [again.message for again in taken_off(shelf, store, 10)] == [{"n": 2}]


def test_a_shelved_message_may_hold_what_celery_makes_of_json(store: redis.Redis) -> None:
    message = {"when": datetime(2026, 1, 2, tzinfo=UTC), "id": uuid.uuid4()}
    shelf = Shelf(store)
    shelf.put("task-1", message, until=1)
    assert [shelved.message for shelved in taken_off(shelf, store, 10)] == [message]


def test_a_shelved_check_comes_up_again_when_its_sweeper_died_with_it(store: redis.Redis) -> None:
    shelf = Shelf(store)
    shelf.put("task-1", {"n": 1}, until=1)
    assert [shelved.message for shelved in taken_off(shelf, store, 10)] == [{"n": 1}]
    assert taken_off(shelf, store, 10) == []
    come_due(store, keys.SHELF)
    assert [shelved.message for shelved in taken_off(shelf, store, 10)] == [{"n": 1}]


def test_the_appids_with_a_queue_of_their_own_are_known_to_all(store: redis.Redis) -> None:
    crowds, others = Crowds(store), Crowds(store)
    assert others.members("text") == set()
    for appid in ("wx1", "wx2", "wx1"):
        crowds.add("text", appid)
    assert others.members("text") == {"wx1", "wx2"}
    assert others.members("media") == set()
    others.remove("text", "wx1")
    others.remove("text", "wx1")
    assert crowds.members("text") == {"wx2"}


def test_every_key_of_the_store_is_one_that_the_module_of_keys_names(
    parking: Parking, park: Park, store: redis.Redis
) -> None:
    park("t1", "task-1")
    parking.match_push(APPID, {**PUSH, "trace_id": "t2"})
    Shelf(store).put("task-2", {}, until=1)
    Crowds(store).add("text", APPID)
    Rates(store).declare("text", 600)
    vouch(store, APPID)
    program = MiniProgram(
        appid=APPID,
        push_plain_allowed=False,
        text_per_minute=600,
        text_per_day=600,
        media_per_minute=600,
        media_per_day=600,
    )
    Quota(store, Rates(store), 3, lambda *_: None).reserve(program, "text", Run("task-1"))
    named = {keys.COUNTERS, keys.DUE, keys.SHELF, keys.record("task-1"), keys.shelved("task-2")}
    named |= {
        keys.check("wx1:t1"),
        keys.check("wx1:t2"),
        keys.kept("wx1:t1"),
        keys.crowded("text"),
        keys.RATES,
        keys.LANES,
    }
    named |= {keys.quota(APPID, "text"), keys.ring(APPID, "text")}
    assert named - {keys.COUNTERS} <= set(store.scan_iter("*")) <= named


def test_outcomes_are_json_values(parking: Parking, store: redis.Redis) -> None:
    parking.match_push(APPID, {**PUSH, "errmsg": "下载错误"})
    assert json.loads(store.hget(keys.check("wx1:t1"), "outcome") or "")["push"]["errmsg"] == "下载错误"
