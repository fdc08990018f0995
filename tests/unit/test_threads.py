"""The pool of threads, where Celery fails around a task."""

from __future__ import annotations

import queue
from typing import Any

import pytest

from worker.request import HeldBack
from worker.threads import TaskPool


@pytest.fixture
def pool() -> TaskPool:
    return TaskPool(1)


def test_a_message_goes_back_whose_run_ended_with_an_exception_of_celerys_own(pool: TaskPool) -> None:
    told: queue.Queue[Any] = queue.Queue()

    def fails() -> None:
        raise RuntimeError("neither the result nor its failure could be stored")

    pool.on_apply(fails, (), {}, error_callback=told.put)
    held = told.get(timeout=10).exception
    assert isinstance(getattr(held, "exc", held), HeldBack)


def test_a_run_that_ends_tells_its_callback_alone(pool: TaskPool) -> None:
    told: queue.Queue[Any] = queue.Queue()
    failed: queue.Queue[Any] = queue.Queue()
    pool.on_apply(lambda: "done", (), {}, callback=told.put, error_callback=failed.put)
    assert told.get(timeout=10) == "done"
    pool.executor.shutdown()
    assert failed.empty()
