"""What time it can be at Redis at the latest, by a process' own clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.clock import APART, LIFETIME, Anchors


def test_where_nothing_is_known_the_latest_time_is_0() -> None:
    assert Anchors().latest(1000.0) == 0


def test_no_more_time_passed_there_than_here() -> None:
    anchors = Anchors()
    anchors.add(10.0, 5_000_000)
    assert anchors.latest(10.0) == 5_000_000
    assert anchors.latest(12.5) == 7_500_000


def test_the_quickest_of_many_answers_counts() -> None:
    anchors = Anchors()
    anchors.add(10.0, 5_900_000)  # 0.9 s on the way
    anchors.add(11.0, 6_000_000)
    anchors.add(12.0, 7_500_000)
    assert anchors.latest(13.0) == 8_000_000


@pytest.mark.parametrize("apart", [APART / 2, APART, APART * 2])
def test_a_step_forward_is_told_by_what_was_seen_before_it(apart: float) -> None:
    anchors = Anchors()
    anchors.add(0.0, 0)
    anchors.add(apart, int(apart * 1e6) + 30_000_000)
    assert anchors.latest(apart + 1) == int((apart + 1) * 1e6)


def test_what_was_seen_long_ago_is_forgotten_for_clocks_drift_apart() -> None:
    anchors = Anchors()
    anchors.add(0.0, 0)
    anchors.add(LIFETIME + 1, 1_000 + int((LIFETIME + 1) * 1e6))
    assert anchors.latest(LIFETIME + 2) == 1_000 + int((LIFETIME + 2) * 1e6)


def test_a_pair_is_believed_for_its_whole_lifetime() -> None:
    anchors = Anchors()
    anchors.add(0.0, 0)
    anchors.add(LIFETIME, 1_000 + int(LIFETIME * 1e6))
    assert anchors.latest(LIFETIME) == int(LIFETIME * 1e6)


@given(
    offset=st.integers(-(10**12), 10**12),
    calls=st.lists(st.tuples(st.floats(0, 60), st.floats(0, 5)), min_size=1, max_size=60),
)
def test_with_two_clocks_that_go_alike_the_latest_time_is_never_too_early(
    offset: int, calls: list[tuple[float, float]]
) -> None:
    """Otherwise the time of the quota would fall behind."""
    anchors, now = Anchors(), 0.0
    for pause, on_the_way in calls:
        now += pause
        before = now
        now += on_the_way
        theirs = 2 * 10**12 + offset + round(now * 1e6)
        if latest := anchors.latest(before):
            assert latest >= 2 * 10**12 + offset + before * 1e6 - 2
        anchors.add(before, theirs)


def test_few_pairs_are_kept_however_many_calls_there_are() -> None:
    anchors = Anchors()
    for number in range(20_000):
        anchors.add(number / 10, number * 100_000)
    assert len(anchors._pairs) <= LIFETIME / APART + 2
