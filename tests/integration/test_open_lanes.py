"""A worker takes from any number of lanes with one connection, and keeps nothing of those that wait.

Tests: store.places.open_lanes
"""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest

from config.settings import MiniProgram
from store.places.forms import Ended, Held, Queue
from store.places.open_lanes import ROUNDS, OpenLanes
from store.places.places import LANES_AT_ONCE
from store.quota.permits import START
from store.quota.rates import Rates
from tests.support.places_world import PlacesWorld, settled, text
from tests.support.quota_world import SECOND, SHARD, mini_program

ROOM: dict[Queue, int] = {"text": 32, "media": 0, "push": 0}


class Worker:
    """A worker that ends whatever it takes, at once."""

    def __init__(self, store: PlacesWorld, programs: list[MiniProgram]) -> None:
        self.store = store
        self.programs = {program.appid: program for program in programs}
        # the rates that are set at run time are of a key of their own
        rates = Rates(store.redis)
        self.lanes = OpenLanes(store.places, self.programs, rates, 10.0 + START)
        self.seconds: float | None = 0.0

    def takes(self) -> list[Held]:
        held, self.seconds, _ = self.lanes.take(ROOM, ["text"])
        return held

    def works(self) -> list[str]:
        """Return the ids of the checks that it takes and ends until it would wait."""
        ended = []
        self.seconds = 0.0
        while self.seconds == 0:
            for held in self.takes():
                assert self.store.places.finish(held, Ended("done"), settled(held)) == "ended"
                ended.append(held.id)
        return ended


def many(number: int, per_day: int) -> list[MiniProgram]:
    return [mini_program(6000, per_day, appid=f"wx{one}") for one in range(number)]


@pytest.mark.parametrize("name", ["lane", "quota", "ring"])
def test_a_lane_whose_keys_are_damaged_holds_up_no_other(
    store: PlacesWorld, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    worker = Worker(store, many(2, 1000))
    store.file(text("a", "wx0"))
    worker.works()
    store.file(text("b", "wx0"))
    key = SHARD.key(f"{name}:text:wx0")
    store.redis.delete(key)
    store.redis.sadd(key, "none of ours")
    store.file(text("c", "wx1"))
    assert worker.works() == ["c"]
    (told,) = [vars(record) for record in caplog.records if vars(record).get("event") == "lane_damaged"]
    assert (told["fields"]["lane"], told["fields"]["appid"]) == ("text", "wx0")


def test_checks_of_a_hundred_mini_programs_are_taken_without_a_word_of_their_names(store: PlacesWorld) -> None:
    worker = Worker(store, many(100, 1000))
    for one in range(100):
        store.file(text(f"check-{one}", appid=f"wx{one}"))
    store.later(1)
    assert sorted(worker.works()) == sorted(f"check-{one}" for one in range(100))
    assert worker.seconds is None


def test_lanes_without_quota_cost_one_look_each_and_then_none(store: PlacesWorld) -> None:
    worker = Worker(store, many(100, 1))
    for one in range(100):
        store.file(*[text(f"check-{one}-{number}", appid=f"wx{one}") for number in range(3)])
    store.later(1)
    assert len(worker.works()) == 100
    assert worker.seconds == pytest.approx(12 * 3600, abs=10)
    store.later(60)
    store.calls = 0
    assert worker.takes() == []
    assert store.calls == 1
    store.later(12 * 3600)
    assert len(worker.works()) == 100, "the next day's"


def test_a_take_names_few_lanes_however_many_are_found_out(store: PlacesWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(store, many(100, 1000))
    named: list[int] = []
    take = store.places.take

    def counted(room: Any, lanes: Any, kinds: Any) -> Any:
        named.append(len(lanes))
        return take(room, lanes, kinds)

    monkeypatch.setattr(store.places, "take", counted)
    for one in range(100):
        worker.lanes.found_out("text", f"wx{one}", 0)
    assert worker.takes() == []
    assert named == [LANES_AT_ONCE]


def test_a_check_of_another_lane_is_taken_at_once_beside_a_hundred_that_wait(store: PlacesWorld) -> None:
    worker = Worker(store, [*many(100, 1), mini_program(6000, 1000, appid="wxnew")])
    for one in range(100):
        store.file(*[text(f"check-{one}-{number}", appid=f"wx{one}") for number in range(3)])
    store.later(1)
    worker.works()
    store.file(text("new", appid="wxnew"))
    store.calls = 0
    assert [held.id for held in worker.takes()] == ["new"]
    assert store.calls <= 2


def test_no_take_asks_more_often_than_its_bound(store: PlacesWorld) -> None:
    worker = Worker(store, many(100, 1000))
    for one in range(100):
        store.file(text(f"check-{one}", appid=f"wx{one}"))
    store.later(1)
    store.calls = 0
    worker.takes()
    assert store.calls <= ROUNDS


def test_checks_of_an_appid_that_the_settings_know_no_more_go_to_runs_that_fail_them(store: PlacesWorld) -> None:
    worker = Worker(store, many(1, 1000))
    store.file(text("a", appid="gone"), text("b", appid="gone"))
    assert [(held.id, held.permit, held.is_first) for held in worker.takes()] == [
        ("a", None, False),
        ("b", None, False),
    ]


def test_a_rate_of_the_settings_and_one_set_at_run_time_count(store: PlacesWorld) -> None:
    worker = Worker(store, [mini_program(60, 1000)])
    store.file(*[text(f"check-{number}") for number in range(20)])
    store.later(1)
    assert len(worker.works()) == 1
    Rates(store.redis).declare("text", 6000)
    worker.lanes = Worker(store, [mini_program(60, 1000)]).lanes
    store.later(2)
    assert len(worker.works()) > 10


def test_the_platforms_count_opens_a_lane_that_has_no_state(store: PlacesWorld) -> None:
    store.redis.delete(SHARD.key("known"))
    worker = Worker(store, [mini_program(6000, 1000)])
    store.file(text("a"))
    store.later(1)
    (held,) = worker.takes()
    assert held.is_first
    worker.lanes.found_out("text", "wx1", 0)
    store.places.give_back(held)
    assert worker.works() == ["a"]


def test_that_nothing_was_sent_in_a_lane_holds_for_seconds_only(store: PlacesWorld) -> None:
    """Others may have sent, and the lane's state may be lost since."""
    store.redis.delete(SHARD.key("known"))
    worker = Worker(store, [mini_program(6000, 1000)])
    store.file(text("a"))
    store.later(1)
    (held,) = worker.takes()
    worker.lanes.found_out("text", "wx1", 0)
    store.later(10)
    store.places.give_back(held)
    (again,) = worker.takes()
    assert again.is_first


def test_a_rate_that_is_raised_counts_within_a_second_for_what_waits_already(store: PlacesWorld) -> None:
    worker = Worker(store, [mini_program(6, 1000)])
    store.file(*[text(f"check-{number}") for number in range(20)])
    store.later(1)
    assert len(worker.works()) == 1
    assert cast("float", worker.seconds) <= 1
    Rates(store.redis).declare("text", 6000)
    worker.lanes = Worker(store, [mini_program(6, 1000)]).lanes
    store.later(1)
    assert worker.works() == ["check-1"]
    store.later(1)
    assert len(worker.works()) > 10


@pytest.mark.parametrize("used_today", [7, None])
def test_a_lane_pauses_unless_the_platform_says_that_nothing_was_sent(
    store: PlacesWorld, used_today: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    store.redis.delete(SHARD.key("known"))
    worker = Worker(store, [mini_program(6000, 1000)])
    store.file(text("a"))
    store.later(1)
    (held,) = worker.takes()
    worker.lanes.found_out("text", "wx1", used_today)
    store.places.give_back(held)
    with caplog.at_level(logging.WARNING):
        assert worker.works() == []
    assert (
        "quota_unknown appid=wx1 lane=text: what was sent lately is not known; nothing is sent for 71 s" in caplog.text
    )
    assert cast("float", worker.seconds) == pytest.approx(71.3, abs=0.1)
    store.later(72)
    assert worker.works() == ["a"]


def test_a_worker_that_has_seen_a_lane_lets_it_pause_after_its_state_was_lost(store: PlacesWorld) -> None:
    worker = Worker(store, [mini_program(6000, 1000)])
    store.file(text("a"))
    store.later(1)
    assert worker.works() == ["a"]
    waiting, *state, _, _ = SHARD.of_lane("text", "wx1")
    store.redis.delete(*state, SHARD.key("known"))
    store.file(text("b"))
    (held,) = worker.takes()
    worker.lanes.found_out("text", "wx1", 0)
    store.places.give_back(held)
    assert worker.works() == []
    assert cast("float", worker.seconds) > 70
    assert store.redis.zcard(waiting) == 1


def test_a_lane_opens_at_its_time_though_the_clock_was_put_back(store: PlacesWorld) -> None:
    worker = Worker(store, [mini_program(60, 1000)])
    store.file(*[text(f"check-{number}") for number in range(3)])
    store.later(1)
    assert worker.works() == ["check-0"]
    store.world.ahead -= 3600 * SECOND
    for _ in range(3):
        store.later(1)
        worker.works()
    assert store.waiting() == ["check-2"]


def test_the_count_of_a_day_outlives_the_loss_of_its_state(store: PlacesWorld) -> None:
    worker = Worker(store, [mini_program(6000, 3)])
    store.file(*[text(f"check-{number}") for number in range(4)])
    store.later(1)
    assert len(worker.works()) == 3
    _, *state, _, _ = SHARD.of_lane("text", "wx1")
    store.redis.delete(*state, SHARD.key("known"))
    store.redis.zadd(SHARD.key("open:text"), {"wx1": 0})
    (held,) = worker.takes()
    worker.lanes.found_out("text", "wx1", None)
    store.places.give_back(held)
    worker.works()
    store.later(72)
    assert worker.works() == [], "this process has sent three calls today"
    assert cast("float", worker.seconds) > 3600


def test_the_platforms_count_of_a_new_lane_is_asked_for_three_times_at_most(store: PlacesWorld) -> None:
    worker = Worker(store, [mini_program(6000, 10)])
    store.file(text("a"))
    store.later(1)
    worker.works()
    asked = 0
    for _ in range(60):
        asked += worker.lanes.asks_for_count("text", "wx1")
        store.later(1)
    assert asked == 3


def test_a_count_that_a_run_learns_while_the_store_is_asked_is_told_with_the_next_take(store: PlacesWorld) -> None:
    worker = Worker(store, [mini_program(60, 1000)])
    store.file(*[text(f"check-{number}") for number in range(20)])
    store.later(1)
    assert len(worker.takes()) == 1
    worker.lanes.counted("text", "wx1", 500)
    store.later(2)
    store.before["take"] = lambda: worker.lanes.counted("text", "wx1", 1000)
    assert len(worker.takes()) == 1, "it was told of 500"
    store.later(2)
    assert worker.takes() == []
    assert cast("float", worker.seconds) > 3600


def test_a_higher_count_of_the_platform_counts(store: PlacesWorld) -> None:
    """Somebody else spends the same quota."""
    worker = Worker(store, [mini_program(60, 1000)])
    store.file(*[text(f"check-{number}") for number in range(20)])
    store.later(1)
    assert len(worker.takes()) == 1
    worker.lanes.counted("text", "wx1", 1000)
    store.later(2)
    assert worker.takes() == []
    assert cast("float", worker.seconds) > 3600
