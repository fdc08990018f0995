"""The step of Celery's consumer that reads the inbox and takes checks, in the place of Celery's own consuming."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from celery import bootsteps
from celery.worker import state
from kombu.common import ignore_errors

from config.celery import SOCKET_TIMEOUT
from config.lanes import READY_OF
from config.redis_url import is_redis
from store.connection import connect
from worker.ending.publications import KeepingAMQP
from worker.intake.broker_inbox import BrokerInbox
from worker.intake.intake import Intake
from worker.intake.redis_inbox import RedisInbox
from worker.runtime import runtime
from worker.taking.feed import Feed

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Queue as BrokerQueue

    from config.settings import Settings
    from store.places.forms import Queue
    from store.places.places import Places
    from store.watch.statistics import Statistics
    from worker.intake.inbox import Inbox
    from worker.taking.hand import InHand

#: seconds in which the intake ends
STOPS_IN = 10.0
#: of each queue that is read, the queues of the store that are taken from; of any other: both lanes
TAKEN: dict[str, set[Queue]] = {queue: {kind} for kind, queue in READY_OF.items()}
BOTH: set[Queue] = {"text", "media"}


def inbox_of(app: Celery, settings: Settings, places: Places, statistics: Statistics) -> Inbox:
    """Return the inbox for the broker of the settings, which files what comes in ``places``."""
    intake = Intake(places, settings, statistics)
    return RedisInbox(settings.broker, intake) if is_redis(settings.broker) else BrokerInbox(app, intake)


class CheckConsumer:
    """What Celery takes for its consumer: it knows the queues, and a :class:`Checks` step reads them."""

    def __init__(self, channel: Any, queues: Any = None, **_: Any) -> None:
        self.channel = channel
        self.queues: list[BrokerQueue] = list(queues or ())
        self.checks: Checks | None = None

    def consume(self, *_: Any, **__: Any) -> None:
        """Have the step read the queues."""
        if self.checks is not None:
            self.checks.serve(self.names())

    def add_queue(self, queue: BrokerQueue) -> None:
        self.queues.append(queue)

    def cancel_by_queue(self, queue: Any) -> None:
        name = getattr(queue, "name", queue)
        self.queues = [one for one in self.queues if one.name != name]
        self.consume()

    def consuming_from(self, queue: str) -> bool:
        return queue in self.names()

    def names(self) -> list[str]:
        """Return the names of the queues."""
        return [queue.name for queue in self.queues]

    def qos(self, *_: Any, **__: Any) -> None:
        """Do nothing: a worker takes as many checks as it has slots."""

    def cancel(self) -> None:
        """Do nothing: the step ends the reading."""

    close = cancel


class CheckAMQP(KeepingAMQP):
    """Celery's AMQP with :class:`CheckConsumer` as the worker's consumer."""

    Consumer = CheckConsumer


class Checks(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery ships no types
    """Files what comes into the inbox, takes checks, and has Celery run them."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    name = "Checks"

    _inbox: Inbox | None = None
    _feed: Feed | None = None

    def start(self, consumer: Any) -> None:
        shared = runtime()
        self._inbox = inbox_of(consumer.app, shared.settings, shared.places, shared.statistics)
        self._feed = Feed(
            shared.lanes,
            shared.places,
            shared.shard,
            connect(shared.settings.redis_url, SOCKET_TIMEOUT, retries=0),
            consumer.controller.concurrency,
            partial(self._run, consumer),
        )
        consumer.task_consumer.checks = self
        self.serve(consumer.task_consumer.names())
        # its settings may have changed since the lanes were looked at
        ignore_errors(consumer, shared.places.reopen)
        self._inbox.start()
        self._feed.start()

    def stop(self, consumer: Any) -> None:  # noqa: ARG002 - Celery passes it
        if self._inbox is None or self._feed is None:
            return
        self._inbox.stop(STOPS_IN)
        # the pool "solo" runs a check in the feed's thread
        self._feed.stop(runtime().places.lease)
        self._inbox = self._feed = None

    def serve(self, names: list[str]) -> None:
        """Read the queues of these names, and take from the store's queues that belong to them."""
        if self._inbox is None or self._feed is None:
            return
        self._inbox.serve(names)
        self._feed.room.serve(set().union(*(TAKEN.get(name, BOTH) for name in names)))

    def _run(self, consumer: Any, in_hand: InHand) -> None:
        """Have Celery run a check, in the feed's thread.

        Celery's own handler would have it acknowledged, and its slot free, in the next turn of the worker's loop.
        """
        if (in_hand.held.cause or {}).get("ended") == "revoked":
            state.revoked.add(in_hand.task_id)
        message = in_hand.message()
        run = consumer.strategies[message.headers["task"]]
        run(message, None, message.ack_log_error, message.reject_log_error, consumer.on_task_message)
