"""The inbox of any other broker, read by kombu: messages are acknowledged once they are filed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from kombu import Consumer

from config.celery import queue_named
from store.places.places import BATCH
from worker.intake.inbox import AWAY, Inbox
from worker.intake.intake import Received

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Connection
    from kombu import Message as BrokerMessage

    from worker.intake.intake import Intake

#: seconds for which one wait lasts: a queue is added, or left, in between
WAIT = 0.5
#: seconds for which a batch is gathered once its first message has come
GATHER = 0.002
#: looks at the connection within its heartbeat
LOOKS = 2


class BrokerInbox(Inbox):
    """Reads the queues of a broker by kombu."""

    def __init__(self, app: Celery, intake: Intake) -> None:
        super().__init__(intake)
        self._app = app
        self._errors = (OSError,)

    def _read_on(self) -> None:
        with self._app.connection_for_read(heartbeat=self._app.conf.broker_heartbeat) as connection:
            self._errors = (OSError, *connection.connection_errors, *connection.channel_errors)
            self._read_all(connection)

    def _read_all(self, connection: Connection) -> None:
        taken: list[BrokerMessage] = []
        consumer = Consumer(
            connection.channel(),
            queues=[],
            accept=self._app.conf.accept_content,
            on_message=taken.append,
            # without it kombu raises the error, with all that came before in nobody's hands
            on_decode_error=lambda message, _: taken.append(message),
            prefetch_count=BATCH,
        )
        look_at = 0.0
        while not self._stopped.is_set():
            self._follow(consumer)
            self._is_away = False
            self._drain(connection, taken)
            if taken:
                self._file(taken)
                taken.clear()
            if connection.get_heartbeat_interval() and time.monotonic() >= look_at:
                connection.heartbeat_check(rate=LOOKS)
                look_at = time.monotonic() + connection.get_heartbeat_interval() / LOOKS

    def _follow(self, consumer: Consumer) -> None:
        """Have ``consumer`` read the queues that are to be read, and no other."""
        wanted = self._queues
        for queue in consumer.queues:
            if queue.name not in wanted:
                consumer.cancel_by_queue(queue)
        anew = [name for name in wanted if not consumer.consuming_from(name)]
        for name in anew:
            consumer.add_queue(queue_named(name))
        if anew:
            consumer.consume()

    def _drain(self, connection: Connection, taken: list[Any]) -> None:
        """Wait for a message, and gather those that come with it."""
        wait = WAIT
        while len(taken) < BATCH:
            try:
                connection.drain_events(timeout=wait)
            except TimeoutError:
                return
            wait = GATHER

    def _file(self, taken: list[BrokerMessage]) -> None:
        """Have messages filed, and acknowledge them; those that stay go back. The broker has all if it is stopped.

        One that is dropped is rejected: RabbitMQ keeps it where the queue has a dead-letter exchange.
        """
        received = [
            Received(message, str(message.delivery_info.get("routing_key")), str(message.delivery_tag))
            for message in taken
        ]
        outcome = self._take_in(received)
        if outcome is None:
            return
        if outcome.kept:
            # they would come again at once
            self._stopped.wait(AWAY)
        for message, (*_, tag) in zip(taken, received, strict=True):
            if tag in outcome.kept:
                message.requeue()
            elif tag in outcome.dropped:
                message.reject()
            else:
                message.ack()
