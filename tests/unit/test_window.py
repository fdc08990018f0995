"""How many messages of a lane a worker has in hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.window import PATIENCE, Window


def test_a_new_window_grows_with_each_message_that_gets_its_permit() -> None:
    window = Window(100)
    first = window.size
    for _ in range(10):
        window.ended()
    assert window.size == first + 10


def test_a_refusal_makes_it_as_small_as_what_is_in_hand() -> None:
    window = Window(100)
    for _ in range(30):
        window.ended()
    window.refused(in_hand=7)
    assert window.size == 7


def test_a_refusal_never_makes_it_larger() -> None:
    window = Window(100)
    window.refused(in_hand=3)
    window.refused(in_hand=50)
    assert window.size == 3


def test_after_a_refusal_it_grows_slowly() -> None:
    window = Window(100)
    window.refused(in_hand=4)
    for _ in range(PATIENCE - 1):
        window.ended()
    assert window.size == 4
    for _ in range(2):  # sums of fortieths are not exact
        window.ended()
    assert window.size == 5


def test_after_a_pause_it_begins_with_one_and_grows_fast_again() -> None:
    window = Window(100)
    window.refused(in_hand=20)
    window.probe()
    assert window.size == 1
    window.ended()
    assert window.size == 2
    window.ended()
    assert window.size == 3


def test_it_never_exceeds_its_cap() -> None:
    window = Window(6)
    for _ in range(100):
        window.ended()
    assert window.size == 6
    assert Window(2).size == 2


def test_one_message_may_always_be_had() -> None:
    assert Window(0).size == 1
    window = Window(10)
    window.refused(in_hand=0)
    assert window.size == 1


@given(
    cap=st.integers(-1, 300),
    steps=st.lists(st.one_of(st.just("ended"), st.just("probe"), st.integers(0, 400)), max_size=200),
)
def test_whatever_happens_it_stays_between_one_and_its_cap(cap: int, steps: list[str | int]) -> None:
    window = Window(cap)
    for step in steps:
        before = window.size
        if step == "ended":
            window.ended()
            assert before <= window.size <= before + 1
        elif step == "probe":
            window.probe()
        else:
            assert isinstance(step, int)
            window.refused(step)
            assert window.size <= before
        assert 1 <= window.size <= max(1, cap)
