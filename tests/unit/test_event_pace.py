"""Events of tasks wait for each other, and go out in few publications."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from kombu import Queue

from worker.celery_parts.event_pace import BATCH, INTERVAL, EventPace


class Hub:
    """An event loop whose time passes when the test says so."""

    def __init__(self) -> None:
        self.calls: dict[float, Callable[[], None]] = {}

    def call_repeatedly(self, seconds: float, call: Callable[[], None]) -> Any:
        self.calls[seconds] = call
        return SimpleNamespace(cancel=lambda: self.calls.pop(seconds))


@pytest.fixture
def consumer() -> Iterator[Any]:
    """A worker's consumer as far as events go, on a broker in memory; ``told``: how often it was to publish at once."""
    with Celery("paced", broker="memory://", set_as_current=False) as app, app.connection_for_write() as connection:
        made = SimpleNamespace(hub=Hub(), told=[], connection_errors=(), channel_errors=())
        made.on_send_event_buffered = lambda: made.told.append(None)
        made.event_dispatcher = app.events.Dispatcher(
            connection, buffer_group=["task"], on_send_buffered=made.on_send_event_buffered
        )
        made.queue = Queue("seen", made.event_dispatcher.exchange, routing_key="#")(connection.default_channel)
        made.queue.declare()
        yield made


def publications(consumer: Any) -> list[int]:
    """The number of events in each publication since the last look."""
    found = []
    while (message := consumer.queue.get(no_ack=True)) is not None:
        found.append(len(message.payload))
    return found


def happen(consumer: Any, times: int) -> None:
    for _ in range(times):
        consumer.event_dispatcher.send("task-started", uuid="one")


def test_events_wait_for_the_next_turn_and_go_out_together(consumer: Any) -> None:
    EventPace(consumer).start(consumer)
    happen(consumer, 3)
    assert publications(consumer) == []
    consumer.hub.calls[INTERVAL]()
    assert publications(consumer) == [3]
    assert consumer.told == []


def test_many_events_go_out_before_their_turn(consumer: Any) -> None:
    EventPace(consumer).start(consumer)
    happen(consumer, BATCH)
    assert sum(publications(consumer)) == BATCH


def test_a_worker_that_stops_tells_all_and_goes_on_as_celery_does(consumer: Any) -> None:
    step = EventPace(consumer)
    step.start(consumer)
    happen(consumer, 2)
    step.stop(consumer)
    assert publications(consumer) == [2]
    assert consumer.hub.calls == {}
    happen(consumer, 1)
    assert consumer.told == [None]


def test_without_an_event_loop_celery_is_left_alone(consumer: Any) -> None:
    consumer.hub = None
    EventPace(consumer).start(consumer)
    happen(consumer, 1)
    assert consumer.told == [None]
