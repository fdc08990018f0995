"""A window bounds the messages that a worker holds whose call is not sent yet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.fetching.window import AHEAD, PATIENCE, Window

NEAR, FAR = AHEAD / 2, AHEAD * 2


def grown(cap: int = 100, *, near: int = 300) -> Window:
    window = Window(cap)
    for _ in range(near):
        window.granted(NEAR)
    return window


def test_it_grows_while_permits_are_near_and_shrinks_while_they_are_far() -> None:
    window = grown()
    large = window.size
    assert large > Window(100).size
    for _ in range(20):
        window.granted(FAR)
    assert window.size < large


def test_two_workers_come_to_share_a_lane_evenly() -> None:
    few, many = Window(100), grown()
    assert many.size > 3 * few.size
    # each gets permits in proportion to what it holds; together they hold too few, or too many, for ten of them
    owed = 0.0
    for _ in range(4000):
        together = few.size + many.size
        owed += few.size / together
        window, owed = (few, owed - 1) if owed >= 1 else (many, owed)
        window.granted(FAR if together > 10 else NEAR)
    assert abs(few.size - many.size) <= 1, (few.size, many.size)


def test_a_refusal_makes_it_as_small_as_what_waits() -> None:
    window = grown()
    window.refused(waiting=3)
    assert window.size == 3


def test_a_refusal_never_makes_it_larger() -> None:
    window = Window(100)
    window.refused(waiting=3)
    window.refused(waiting=50)
    assert window.size == 3


def test_after_a_pause_it_is_what_it_was_while_permits_came() -> None:
    window = grown()
    proven = window.size
    window.refused(waiting=1)
    window.resume()
    assert window.size == proven


def test_what_ends_without_a_permit_changes_nothing_where_permits_are_told() -> None:
    window = Window(100)
    window.granted(FAR)
    size = window.size
    for _ in range(50):
        window.granted(None)
    assert window.size == size


# where nothing is told of the permits


def test_without_being_told_it_grows_with_each_message_that_ended() -> None:
    window = Window(100)
    first = window.size
    for _ in range(10):
        window.granted(None)
    assert window.size == first + 10


def test_without_being_told_it_grows_slowly_after_a_refusal() -> None:
    window = Window(100)
    window.refused(waiting=4)
    for _ in range(PATIENCE - 1):
        window.granted(None)
    assert window.size == 4
    for _ in range(2):  # sums of fractions are not exact
        window.granted(None)
    assert window.size == 5


def test_without_being_told_it_begins_with_one_after_a_probe_and_grows_fast_again() -> None:
    window = Window(100)
    window.refused(waiting=20)
    window.probe()
    assert window.size == 1
    window.granted(None)
    assert window.size == 2
    window.granted(None)
    assert window.size == 3


@pytest.mark.parametrize("ahead", [NEAR, None])
def test_it_never_exceeds_its_cap(ahead: float | None) -> None:
    window = Window(6)
    for _ in range(300):
        window.granted(ahead)
    assert window.size == 6
    assert Window(2).size == 2


def test_one_message_may_always_be_had() -> None:
    assert Window(0).size == 1
    window = Window(10)
    window.refused(waiting=0)
    assert window.size == 1
    for _ in range(300):
        window.granted(FAR)
    assert window.size == 1


@given(
    cap=st.integers(-1, 300),
    steps=st.lists(st.one_of(st.just("ended"), st.just("probe"), st.integers(0, 400), st.floats(0, 0.3)), max_size=200),
)
def test_whatever_happens_it_stays_between_one_and_its_cap(cap: int, steps: list[str | int | float]) -> None:
    window = Window(cap)
    for step in steps:
        before = window.size
        if step == "probe":
            window.probe()
        elif isinstance(step, int):
            window.refused(step)
            assert window.size <= before
        else:
            window.granted(None if isinstance(step, str) else step)
            assert window.size <= before + 1
        assert 1 <= window.size <= max(1, cap)
