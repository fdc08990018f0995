"""Work that stands still in its place is told: inbox, lanes, what is ready, what is due, the outbox.

Tests: status.stuck, store.places.census
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from config.settings import Settings
from status.numbers import Numbers
from status.stuck import SEEN, STANDS, StuckReader, stands_since
from store import keys
from store.places.census import Census
from store.places.forms import Ended, Message
from store.places.places import Places
from store.places.shard import SHARD
from store.quota.clock import Watch
from tests.support.checks import send_text, verdict_of, words
from tests.support.processes import eventually
from tests.support.system import System, plain_client

APPID = "wx1"
NONE = {"count": 0, "oldest_seconds": None}


@pytest.fixture
def store(system: System) -> Iterator[redis.Redis]:
    with system.database(11) as client:
        yield client


@pytest.fixture
def places(store: redis.Redis) -> Places:
    return Places(store, SHARD, Watch(), 10.0)


def message(task_id: str, **others: Any) -> Message:
    return Message(task_id, "{}", "text", APPID, 0, task_id, **others)


def read(store: redis.Redis, later: float = 0.0, **latest: float) -> dict[str, Any]:
    """The things that are stuck in so many seconds."""
    fields = {f"moved|{place}": at for place, at in latest.items()}
    return StuckReader(store, SHARD).read(time.time() + later, fields, {0: Counter()}, [])


def test_a_check_whose_end_is_known_and_nobody_tells_is_told(store: redis.Redis, places: Places) -> None:
    places.file([message("one", cause={"ended": "invalid", "said": ""}), message("two")])
    places.cancel(["two"])
    assert read(store, STANDS - 5)["ready"] == {"text": NONE, "media": NONE, "push": NONE}
    told = read(store, STANDS + 5)["ready"]["text"]
    assert (told["count"], round(told["oldest_seconds"])) == (2, round(STANDS + 5))
    for held in places.take({"text": 2}, []).held:
        places.finish(held, Ended("failed"))
    assert read(store, STANDS + 5)["ready"]["text"] == NONE


def test_a_lane_that_may_send_and_of_which_nobody_takes_is_told_and_a_closed_one_is_not(
    store: redis.Redis, places: Places
) -> None:
    places.file([message("one"), message("two")])
    assert read(store, STANDS - 5)["lanes"] == {"text": NONE, "media": NONE}
    told = read(store, STANDS + 5)["lanes"]["text"]
    assert (told["count"], round(told["oldest_seconds"])) == (1, round(STANDS + 5))
    # it opens in an hour
    store.zadd(SHARD.key("open:text"), {APPID: (time.time() + 3600) * 1000})
    assert read(store, STANDS + 5)["lanes"]["text"] == NONE


def test_what_is_due_and_nobody_brings_on_is_told_unless_the_line_moves(store: redis.Redis, places: Places) -> None:
    places.file([message("back", at=time.time() + 60), message("lost", cause={"ended": "invalid", "said": ""})])
    assert len(places.take({"text": 1}, []).held) == 1
    later = 60 + STANDS + 5
    assert read(store, STANDS - 5)["due"] == NONE
    told = read(store, later)["due"]
    assert (told["count"], round(told["oldest_seconds"])) == (2, round(later - places.lease))
    moving = dict.fromkeys(("shelf", "hand"), time.time() + later - 1)
    assert read(store, later, **moving)["due"] == NONE


def test_an_end_that_cannot_leave_the_outbox_is_told_though_relays_try_again_and_again(
    store: redis.Redis, places: Places
) -> None:
    places.file([message("one", cause={"ended": "invalid", "said": ""})])
    (held,) = places.take({"text": 1}, []).held
    places.finish(held, Ended("failed", outbox="{}"))
    assert read(store, STANDS - 5)["outbox"] == NONE
    store.zadd(SHARD.key("outbox_due"), {held.entry: 1})
    assert places.relay() == [(held.entry, "{}")]
    told = read(store, STANDS + 5)["outbox"]
    assert (told["count"], round(told["oldest_seconds"])) == (1, round(STANDS + 5))
    places.advance(held.entry)
    assert read(store, STANDS + 5)["outbox"] == NONE


def test_the_census_counts_each_place_and_lanes_that_the_settings_do_not_know(
    store: redis.Redis, places: Places
) -> None:
    census = Census(store, SHARD)
    invalid = {"ended": "invalid", "said": ""}
    places.file(
        [
            message("one"),
            message("two")._replace(appid="wx-unknown"),
            message("three")._replace(appid="wx-unknown", priority=9),
            message("back", at=time.time() + 60),
            message("end", cause=invalid),
        ]
    )
    counts = census.counts([("text", APPID), ("media", APPID)], time.time())
    assert (counts.lanes, counts.other_lanes, counts.shelf, counts.ready["text"]) == ([1, 0], 2, 1, 1)
    assert list(census.of_lane("text", "wx-unknown")) == ["three", "two"]
    assert (list(census.on_shelf("text")), list(census.on_shelf("text", "wx-unknown"))) == (["back"], [])
    places.take({"text": 1}, [])
    counts = census.counts([], time.time())
    assert (counts.lanes, counts.other_lanes, counts.hand, counts.ready["text"]) == ([], 3, 1, 0)


def test_a_queue_stands_since_it_was_first_seen_so() -> None:
    assert stands_since(None, 0.0, 1000.0) == 1000.0
    assert stands_since("900@990", 0.0, 1000.0) == 900.0
    assert stands_since("900@990", 950.0, 1000.0) == 1000.0, "something came out of it meanwhile"
    assert stands_since(f"900@{990 - SEEN}", 0.0, 1000.0) == 1000.0, "nobody has looked for long"
    assert stands_since("900@2000", 0.0, 1000.0) == 1000.0, "the clock was put back"


def test_an_inbox_that_does_not_move_is_told_until_it_does(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
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
        # what the worker has asked for before is answered by then: it takes no message that comes now
        time.sleep(0.5)
        system.redis.ping()
        system.redis.ping()
        result = send_text(system.app, words())
        assert "inbox_stuck" not in troubles()
        # as if it had been seen so for long
        now = time.time()
        system.redis.hset(keys.STANDING, "wxcheck.text", f"{now - STANDS - 5}@{now - 10}")
        system.redis.hdel(keys.LATEST, "moved|wxcheck.text")
        assert "inbox_stuck" in troubles()
    finally:
        worker.thaw()
    verdict_of(result)
    eventually(lambda: "inbox_stuck" not in troubles(), "the queue moves")
    app.close()
