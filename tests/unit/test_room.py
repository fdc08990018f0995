"""The slots of a worker are shared, and lent where there is no work.

Tests: worker.taking.room
"""

from __future__ import annotations

from store.places.forms import Queue
from worker.taking.room import Room

ALL: set[Queue] = {"text", "media", "push"}


class Slots:
    def __init__(self, slots: int, queues: set[Queue] = ALL) -> None:
        self.times_free = 0
        self.room = Room(slots, self._is_free)
        self.room.serve(queues)
        self.times_free = 0

    def _is_free(self) -> None:
        self.times_free += 1

    def takes(self, queue: Queue, number: int) -> None:
        for _ in range(number):
            self.room.take(queue)


def test_lanes_at_work_have_their_shares_and_pushes_one_of_their_own() -> None:
    slots = Slots(12)
    slots.takes("text", 1)
    slots.takes("media", 1)
    assert slots.room.free() == {"text": 5, "media": 3, "push": 2}


def test_a_lane_without_work_lends_its_slots_and_pushes_never_do() -> None:
    slots = Slots(12)
    slots.takes("media", 1)
    assert slots.room.free() == {"push": 2, "text": 6, "media": 3}, "none is promised twice"
    assert slots.room.crowd({"media"})
    assert slots.room.free() == {"media": 8, "push": 2, "text": 1}
    slots.takes("media", 8)
    assert slots.room.free() == {"media": 0, "push": 2, "text": 1}, "one can begin"
    assert slots.room.awaited() == {"push", "text"}


def test_a_lane_that_has_work_again_gets_back_what_it_has_lent() -> None:
    slots = Slots(12)
    slots.takes("media", 9)
    slots.takes("text", 1)
    assert not slots.room.crowd({"text", "media"})
    assert slots.room.free() == {"text": 0, "media": 0, "push": 2}
    for _ in range(3):
        slots.room.let_go("media")
    assert slots.room.free() == {"text": 3, "media": 0, "push": 2}


def test_what_had_too_little_comes_first() -> None:
    slots = Slots(12)
    slots.takes("text", 3)
    assert slots.room.free() == {"push": 2, "text": 6, "media": 1}
    assert slots.room.crowd({"media"})
    assert slots.room.free() == {"media": 4, "push": 2, "text": 3}


def test_a_worker_of_one_queue_has_all_slots_for_it() -> None:
    assert Slots(12, {"text"}).room.free() == {"text": 12}
    assert Slots(12, {"push"}).room.free() == {"push": 12}
    assert Slots(12, {"media", "text"}).room.free() == {"text": 10, "media": 2}
    assert Slots(12, set()).room.free() == {}


def test_a_single_slot_serves_all_queues() -> None:
    slots = Slots(1)
    assert slots.room.awaited() == ALL
    assert sum(slots.room.free().values()) == 1
    slots.takes("text", 1)
    assert slots.room.awaited() == set()
    assert slots.room.free() == dict.fromkeys(ALL, 0)
    assert not slots.room.crowd({"media"})
    slots.room.let_go("text")
    assert slots.room.free() == {"media": 1, "push": 0, "text": 0}


def test_it_is_told_when_a_queue_has_room_again() -> None:
    slots = Slots(12)
    slots.takes("push", 1)
    slots.room.let_go("push")
    assert slots.times_free == 0, "there was room before"
    slots.takes("push", 2)
    slots.room.let_go("push")
    assert slots.times_free == 1
    assert sum(slots.room._in_hand.values()) == 1
