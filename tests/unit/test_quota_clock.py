"""A process tells whether Redis' clock goes evenly, by its own.

Tests: store.quota.clock, worker.runtime
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import store.places.places
import worker.runtime
from store.quota.clock import APART, DRIFT, GAP, LIFETIME, PROBATION, SLACK, Watch

#: microseconds that Redis' clock is ahead
AHEAD = 5_000_000


def read(watch: Watch, at: float, ahead: int = AHEAD, on_the_way: float = 0.001) -> int:
    """An answer that takes so many seconds, each way; what Redis' clock showed."""
    theirs = round((at + on_the_way) * 1e6) + ahead
    watch.add(at, at + 2 * on_the_way, theirs)
    return theirs


def watch_from(start: float, until: float) -> Watch:
    watch = Watch()
    for second in range(int(start), int(until) + 1):
        read(watch, float(second))
    return watch


def test_a_process_that_has_read_nothing_lately_knows_nothing() -> None:
    watch = Watch()
    assert not watch.knows(0.0)
    read(watch, 10.0)
    assert watch.knows(10.0 + GAP)
    assert not watch.knows(10.1 + GAP)


def test_a_clock_that_goes_evenly_is_steady_since_the_first_answer() -> None:
    watch = Watch()
    first = read(watch, 0.0)
    for second in range(1, 100):
        read(watch, float(second))
    latest, steady = watch.at(100.0)
    assert steady == first
    # the quickest of the answers counts, and how far the clocks may have drifted apart since
    assert 100_000_000 + AHEAD <= latest <= 100_000_000 + AHEAD + 1_001 + APART * DRIFT


@pytest.mark.parametrize("step", [-30_000_000, -30_000, 30_000, 30_000_000])
def test_after_a_step_it_is_steady_a_while_after_the_answer_that_showed_it(step: int) -> None:
    watch = watch_from(0, 20)
    shown = read(watch, 21.0, AHEAD + step)
    latest, steady = watch.at(21.5)
    assert latest == pytest.approx(21_500_000 + AHEAD + step, abs=1_001 + DRIFT)
    assert steady == shown + PROBATION
    read(watch, 22.0, AHEAD + step)
    assert watch.at(22.5)[1] == shown + PROBATION


def test_a_clock_that_is_slewed_is_never_steady_meanwhile() -> None:
    watch = watch_from(0, 20)
    for second in range(21, 40):
        shown = read(watch, float(second), AHEAD + (second - 20) * 20_000)
        assert watch.at(float(second))[1] >= shown


def test_a_step_that_nobody_has_read_yet_lies_beyond_the_latest_time() -> None:
    watch = watch_from(0, 20)
    assert watch.at(20.5)[0] < 20_500_000 + AHEAD + 30_000


def test_after_a_gap_it_is_steady_since_the_answer_that_ended_it() -> None:
    watch = watch_from(0, 20)
    shown = read(watch, 21.0 + GAP)
    assert watch.at(22.0 + GAP)[1] == shown


def test_an_answer_that_was_long_on_its_way_is_no_step() -> None:
    watch = Watch()
    first = read(watch, 0.0)
    read(watch, 1.0, on_the_way=0.7)
    read(watch, 2.6)
    latest, steady = watch.at(3.0)
    assert steady == first
    assert latest <= 3_000_000 + AHEAD + 1_001 + APART * DRIFT


def test_an_answer_from_before_a_step_that_has_been_seen_says_nothing() -> None:
    watch = watch_from(0, 20)
    shown = read(watch, 20.5, AHEAD + 30_000_000)
    watch.add(20.4, 20.6, 20_450_000 + AHEAD)
    assert watch.at(20.7)[1] == shown + PROBATION


def test_clocks_may_drift_apart() -> None:
    watch = Watch()
    first = read(watch, 0.0)
    for second in range(1, 2000):
        read(watch, float(second), AHEAD + second * 100)  # 100 millionths
    assert watch.at(2000.0)[1] == first


def test_few_bounds_are_kept_however_many_answers_there_are() -> None:
    watch = Watch()
    for number in range(20_000):
        read(watch, number / 10)
    assert len(watch._bounds) <= LIFETIME / APART + 2


def test_it_may_be_told_and_asked_by_many_threads_at_once() -> None:
    watch = Watch()
    # a clock that goes on when it is read: on a real one, a process that stands still for GAP has a gap
    readings = itertools.count()

    def clock() -> float:
        return next(readings) / 10_000

    first = clock()
    watch.add(first, first, round(first * 1e6))

    def work(_number: int) -> None:
        for _ in range(500):
            before = clock()
            theirs = round(clock() * 1e6)
            watch.add(before, clock(), theirs)
            now = clock()
            latest, steady = watch.at(now)
            assert steady == round(first * 1e6)
            assert latest >= now * 1e6 - 2

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


@given(
    ahead=st.integers(-(10**12), 10**12),
    answers=st.lists(st.tuples(st.floats(0, 2), st.floats(0, 0.4), st.floats(0, 1)), min_size=1, max_size=60),
)
def test_a_clock_that_goes_like_ours_is_never_taken_for_one_that_was_put_forward_or_back(
    ahead: int, answers: list[tuple[float, float, float]]
) -> None:
    watch, now, first = Watch(), 0.0, None
    for pause, on_the_way, share in answers:
        before = now + pause
        now = before + on_the_way
        theirs = 2 * 10**12 + ahead + round((before + share * on_the_way) * 1e6)
        watch.add(before, now, theirs)
        first = theirs if first is None else first
        latest, steady = watch.at(now)
        assert steady == first
        assert latest >= 2 * 10**12 + ahead + now * 1e6 - SLACK


def test_the_thread_that_reads_the_clock_goes_on_after_any_failure_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker.runtime, "CLOCK_INTERVAL", 0.0)

    said = [OSError("away"), ValueError("nonsense"), None, OSError("away again"), SystemExit()]

    class Places:
        def keep_time(self) -> None:
            if failure := said.pop(0):
                raise failure

    with pytest.raises(SystemExit):
        worker.runtime._keep_time(cast("store.places.places.Places", Places()))
    assert [record.message for record in caplog.records] == [
        "clock_not_read: OSError: away; trying on",
        "clock_not_read: OSError: away again; trying on",
    ]
