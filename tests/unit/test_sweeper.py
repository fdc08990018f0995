"""Jobs are done in rounds: one that is not due waits, one that fails is tried again."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest

from worker import sweeper
from worker.sweeper import JOBS, Job, Sweeper


class Stop(threading.Event):
    """Lets a number of rounds pass, each a second after the other on the clock of the test."""

    def __init__(self, rounds: int, clock: list[float]) -> None:
        super().__init__()
        self._rounds = rounds
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._rounds -= 1
        self._clock[0] += timeout or 0.0
        return self._rounds < 0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("worker.sweeper.time.monotonic", lambda: now[0])
    return now


def run(monkeypatch: pytest.MonkeyPatch, clock: list[float], rounds: int, *jobs: Job) -> None:
    monkeypatch.setattr(sweeper, "JOBS", jobs)
    monkeypatch.setattr(sweeper, "Servers", lambda _settings: None)
    monkeypatch.setattr(sweeper, "runtime", lambda: type("Runtime", (), {"settings": None}))
    step = Sweeper(worker=object())
    step._stopped = Stop(rounds, clock)
    step._run(object())


def test_each_job_is_done_at_its_interval_and_one_without_end_once(
    monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    done: list[str] = []
    jobs = (
        Job(lambda *_: done.append("each"), interval=1.0),
        Job(lambda *_: done.append("fourth"), interval=4.0),
        Job(lambda *_: done.append("once"), interval=math.inf),
    )
    run(monkeypatch, clock, 8, *jobs)
    assert (done.count("each"), done.count("fourth"), done.count("once")) == (8, 2, 1)


def test_a_job_that_fails_is_tried_in_the_next_round_and_the_fault_is_told_once(
    monkeypatch: pytest.MonkeyPatch, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[str] = []

    def fails(_sweep: Any) -> None:
        tries.append("")
        if len(tries) < 4:
            raise ConnectionError("away")

    run(monkeypatch, clock, 6, Job(fails, interval=math.inf))
    assert len(tries) == 4
    assert [record.getMessage().split()[0] for record in caplog.records] == ["sweep_failed:"]


def test_a_job_that_fails_takes_no_turn_of_the_jobs_after_it(
    monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    done: list[str] = []

    def fails(*_: Any) -> None:
        raise ConnectionError("away")

    run(monkeypatch, clock, 3, Job(fails, interval=1.0), Job(lambda *_: done.append("next"), 1.0))
    assert done == ["next"] * 3


def test_every_job_has_an_interval_and_a_sentence() -> None:
    assert all(job.interval > 0 and job.do.__doc__ for job in JOBS)
