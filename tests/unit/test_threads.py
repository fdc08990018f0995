"""The pool of threads gives a message back where Celery fails around its task."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from worker.celery_parts.request import GivenBack
from worker.celery_parts.threads import TaskPool

PATIENCE = 30.0


@pytest.fixture
def pool() -> Iterator[TaskPool]:
    pool = TaskPool(4, app=Celery(set_as_current=False))
    yield pool
    pool.executor.shutdown()


def test_a_message_goes_back_whose_run_ended_with_an_exception_of_celerys_own(pool: TaskPool) -> None:
    told: queue.Queue[Any] = queue.Queue()

    def fails() -> None:
        raise RuntimeError("neither the result nor its failure could be stored")

    pool.on_apply(fails, (), {}, error_callback=told.put)
    given_back = told.get(timeout=PATIENCE).exception
    assert isinstance(getattr(given_back, "exc", given_back), GivenBack)


def test_a_run_that_ends_tells_its_callback_alone(pool: TaskPool) -> None:
    told: queue.Queue[Any] = queue.Queue()
    failed: queue.Queue[Any] = queue.Queue()
    pool.on_apply(lambda: "done", (), {}, callback=told.put, error_callback=failed.put)
    assert told.get(timeout=PATIENCE) == "done"
    pool.executor.shutdown()
    assert failed.empty()


def test_a_message_goes_back_whose_end_could_not_be_told(pool: TaskPool) -> None:
    failed: queue.Queue[Any] = queue.Queue()

    def refused(_: Any) -> None:
        raise RuntimeError("it could not be acknowledged")

    pool.on_apply(lambda: "done", (), {}, callback=refused, error_callback=failed.put)
    given_back = failed.get(timeout=PATIENCE).exception
    assert isinstance(getattr(given_back, "exc", given_back), GivenBack)
