"""The pace of a worker's events: batches, a few times a second.

Celery publishes a task's events in the next turn of its loop. If tasks come one by one, that is a publication for each
event, a third of a worker's time. Nobody sees the difference in Flower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import bootsteps
from celery.worker.consumer.events import Events
from kombu.common import ignore_errors

if TYPE_CHECKING:
    from celery.events.dispatcher import EventDispatcher

#: seconds between two publications
INTERVAL = 0.1
#: events that are published at once, before INTERVAL is over
BATCH = 100


class EventPace(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery ships no types
    """A step of the consumer that collects the events of tasks; a pool without an event loop publishes each at once."""

    requires = (Events,)

    _timer: Any = None

    def start(self, consumer: Any) -> None:
        if consumer.hub is None:
            return
        dispatcher: EventDispatcher = consumer.event_dispatcher
        dispatcher.buffer_limit = BATCH
        dispatcher.on_send_buffered = None
        self._timer = consumer.hub.call_repeatedly(INTERVAL, dispatcher.flush)

    def stop(self, consumer: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            if (dispatcher := consumer.event_dispatcher) is not None:
                # from here on Celery publishes events in its own way
                dispatcher.on_send_buffered = consumer.on_send_event_buffered
                ignore_errors(consumer, dispatcher.flush)

    shutdown = stop
