"""The pool of threads gives a message back where Celery fails around its task, and tells of ends in one thread."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from kombu.asynchronous import Hub, get_event_loop, set_event_loop

from tests.support.processes import eventually
from worker.celery_parts.request import GivenBack
from worker.celery_parts.threads import TaskPool

PATIENCE = 30.0


def pool_for(broker: str) -> TaskPool:
    return TaskPool(4, app=Celery(broker=broker, set_as_current=False))


@pytest.fixture(params=["redis://127.0.0.1:1/0", "amqp://127.0.0.1:1//"], ids=["Redis", "RabbitMQ"])
def pool(request: pytest.FixtureRequest, loop: Loop) -> Iterator[TaskPool]:
    """A pool as it is with each broker; neither is asked."""
    pool = pool_for(request.param)
    yield pool
    pool.executor.shutdown()


class Loop:
    """A worker's loop, in a thread of its own."""

    def __init__(self) -> None:
        self.hub = Hub()
        self._stopped = threading.Event()
        self._resets = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        turns = self.hub.create_loop()
        while not self._stopped.is_set():
            next(turns)
            if self._resets.is_set():
                # as a worker does that has lost its connection
                self.hub.reset()
                turns = self.hub.create_loop()
                self._resets.clear()

    def reset(self) -> None:
        self._resets.set()
        self.hub.call_soon(lambda: None)
        eventually(lambda: not self._resets.is_set(), "the loop goes on")

    def close(self) -> None:
        self._stopped.set()
        self.hub.call_soon(lambda: None)
        self.thread.join(PATIENCE)
        self.hub.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    before = get_event_loop()
    loop = Loop()
    set_event_loop(loop.hub)
    yield loop
    loop.close()
    set_event_loop(before)


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


def test_with_rabbitmq_tasks_begin_and_end_in_the_loops_thread_and_in_their_order(loop: Loop) -> None:
    """A connection of py-amqp is for one thread only."""
    pool = pool_for("amqp://127.0.0.1:1//")
    told: queue.Queue[tuple[str, int, threading.Thread]] = queue.Queue()

    def tell(what: str, number: int) -> None:
        told.put((what, number, threading.current_thread()))

    for number in range(100):
        pool.on_apply(
            time.sleep,
            (0.001,),
            {},
            callback=lambda _, number=number: tell("ended", number),
            accept_callback=lambda *_, number=number: tell("begun", number),
        )
    seen = [told.get(timeout=PATIENCE) for _ in range(200)]
    pool.executor.shutdown()
    assert {thread for _, _, thread in seen} == {loop.thread}
    for number in range(100):
        assert [what for what, of, _ in seen if of == number] == ["begun", "ended"]


def test_tasks_end_also_after_the_loop_was_closed_for_a_connection_that_was_lost(loop: Loop) -> None:
    pool = pool_for("amqp://127.0.0.1:1//")
    told: queue.Queue[Any] = queue.Queue()
    loop.reset()
    pool.on_apply(lambda: "done", (), {}, callback=told.put)
    assert told.get(timeout=PATIENCE) == "done"
    pool.executor.shutdown()


def test_what_ends_while_the_worker_stops_is_told_before_it_has_stopped() -> None:
    before = get_event_loop()
    set_event_loop(None)  # the loop has ended
    try:
        pool = pool_for("amqp://127.0.0.1:1//")
        told: list[Any] = []
        pool.on_apply(time.sleep, (0.2,), {}, callback=told.append)
        pool.on_stop()
        assert told == [None]
    finally:
        set_event_loop(before)
