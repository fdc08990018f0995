"""Finishes, shelved checks, due checks and queues that are not brought on are told."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from config.settings import Settings
from status.numbers import Numbers
from status.stuck import LEASES, QUEUE_STANDS, SEEN, StuckReader, stands_since
from store import keys
from store.parked.parked import Kept, Parking
from store.records.records import Records
from store.shelf.shelf import LEASE, Shelf
from store.watch.statistics import Statistics
from tests.support.checks import send_text, verdict_of, words
from tests.support.processes import eventually
from tests.support.runs import run_named
from tests.support.sweeps import overdue, taken_off
from tests.support.system import System, plain_client

APPID = "wx1"
#: seconds
FINISH_LEASE = 30.0


@pytest.fixture
def store(system: System) -> Iterator[redis.Redis]:
    with system.database(11) as client:
        yield client


@pytest.fixture
def parking(store: redis.Redis) -> Parking:
    return Parking(store, push_timeout=1860, lease=FINISH_LEASE, statistics=Statistics(store))


def read(store: redis.Redis, later: float = 0.0, *, since: float | None = None, **latest: float) -> dict[str, Any]:
    """The things that are stuck so many seconds after ``since``, which is now if it is not said."""
    fields = {f"moved|{place}": at for place, at in latest.items()}
    now = (time.time() if since is None else since) + later
    return StuckReader(store, FINISH_LEASE).read(now, fields, {0: Counter()}, [])


def finishing(store: redis.Redis, parking: Parking) -> None:
    """A check whose push is here."""
    Records(store, FINISH_LEASE).lease("task", "sender", 5)
    parking.park(APPID, "t1", "task", Kept("{}"), "sender")
    parking.match_push(APPID, {"trace_id": "t1"})


TOO_LONG = LEASES * FINISH_LEASE + 1


def test_a_finish_that_never_runs_is_told_after_two_leases(store: redis.Redis, parking: Parking) -> None:
    finishing(store, parking)
    store.zadd(keys.DUE, {f"{APPID}:t1": 1})  # its lease is over
    began = time.time()
    assert overdue(parking, store, 10)
    since = store.zscore(keys.HANGING, f"{APPID}:t1")
    assert since is not None
    assert began - 1 <= since <= time.time() + 1
    assert read(store, LEASES * FINISH_LEASE - 5, since=since)["finishing"]["count"] == 0
    told = read(store, TOO_LONG, since=since)["finishing"]
    assert (told["count"], round(told["oldest_seconds"])) == (1, round(TOO_LONG))
    parking.claim_finish(APPID, "t1", "task", "run")
    parking.end(APPID, "t1", "task", "done", run_named("run"))
    assert read(store, TOO_LONG)["finishing"] == {"count": 0, "oldest_seconds": None}


def test_a_finish_that_runs_again_and_again_is_told_too(store: redis.Redis, parking: Parking) -> None:
    finishing(store, parking)
    parking.claim_finish(APPID, "t1", "task", "first")
    assert read(store, TOO_LONG)["finishing"]["count"] == 0, "a finish at its first go"
    parking.give_up_claim(APPID, "t1", "first")
    parking.claim_finish(APPID, "t1", "task", "second")
    assert read(store, TOO_LONG)["finishing"]["count"] == 1


def test_a_check_that_ended_in_another_way_is_not_told(store: redis.Redis, parking: Parking) -> None:
    finishing(store, parking)
    store.zadd(keys.DUE, {f"{APPID}:t1": 1})
    overdue(parking, store, 10)
    store.delete(keys.check(f"{APPID}:t1"))
    assert read(store, TOO_LONG)["finishing"]["count"] == 0
    assert not store.exists(keys.HANGING)


def test_a_check_that_cannot_leave_the_shelf_is_told(store: redis.Redis) -> None:
    shelf = Shelf(store)
    shelf.put("task", {}, time.time() - 1)
    (shelved,) = taken_off(shelf, store, 10)
    later = LEASES * LEASE + 2
    assert read(store, 0)["shelved"]["count"] == 0
    store.zadd(keys.SHELF, {"task": 1})  # its lease is over
    taken_off(shelf, store, 10)
    assert read(store, later)["shelved"]["count"] == 1
    shelf.remove(shelved)
    assert read(store, later)["shelved"]["count"] == 0


def test_a_check_that_was_laid_on_the_shelf_anew_is_not_told(store: redis.Redis) -> None:
    shelf = Shelf(store)
    shelf.put("task", {}, time.time() - 1)
    taken_off(shelf, store, 10)
    store.zadd(keys.SHELF, {"task": time.time() + 3600})
    assert read(store, LEASES * LEASE + 2)["shelved"]["count"] == 0


def test_what_is_due_and_nobody_takes_up_is_told_unless_the_line_moves(store: redis.Redis, parking: Parking) -> None:
    Shelf(store).put("another", {}, time.time() - 1)
    finishing(store, parking)
    later = LEASES * LEASE + 60
    assert read(store, 0)["due"]["count"] == 0
    assert read(store, later)["due"]["count"] == 2
    moving = dict.fromkeys(("shelf", "due"), time.time() + later - 1)
    assert read(store, later, **moving)["due"]["count"] == 0


def test_a_queue_stands_since_it_was_first_seen_so() -> None:
    assert stands_since(None, 0.0, 1000.0) == 1000.0
    assert stands_since("900@990", 0.0, 1000.0) == 900.0
    assert stands_since("900@990", 950.0, 1000.0) == 1000.0, "something came out of it meanwhile"
    assert stands_since(f"900@{990 - SEEN}", 0.0, 1000.0) == 1000.0, "nobody has looked for long"
    assert stands_since("900@2000", 0.0, 1000.0) == 1000.0, "the clock was put back"


def test_a_queue_that_does_not_move_is_told_until_it_does(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in system.environment.items():
        monkeypatch.setenv(name, value)
    verdict_of(send_text(system.app, words()))
    app = plain_client(system.redis_url)
    worker = next(running for running in system.started if running.name == "worker")
    numbers = Numbers(Settings(_env_file=None), app)

    def troubles() -> list[str]:
        return [trouble["key"] for trouble in numbers.read()["troubles"]]

    eventually(lambda: "no_worker" not in troubles(), "the worker is heard of")
    worker.freeze()
    try:
        result = send_text(system.app, words())
        assert "queue_stuck" not in troubles()
        # as if it had been seen so for long
        now = time.time()
        system.redis.hset(keys.STANDING, "wxcheck.text", f"{now - QUEUE_STANDS - 5}@{now - 10}")
        system.redis.hdel(keys.LATEST, "moved|wxcheck.text")
        assert "queue_stuck" in troubles()
    finally:
        worker.thaw()
    verdict_of(result)
    eventually(lambda: "queue_stuck" not in troubles(), "the queue moves")
    app.close()
