"""The inbox of any other broker, read by kombu: messages are acknowledged once they are filed."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from kombu import Consumer

from config.celery import queue_named
from config.logs import Log
from store.connection import STORE_AWAY, reason
from store.places.places import BATCH
from worker.intake.intake import Received

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Connection
    from kombu import Message as BrokerMessage

    from worker.intake.intake import Intake

log = Log(__name__)

#: seconds for which one wait lasts: a queue is added, or left, in between
WAIT = 0.5
#: seconds for which a batch is gathered once its first message has come
GATHER = 0.002
#: seconds until the next try where the broker, or the store, is away, or does not take a message
AWAY = 1.0
#: looks at the connection within its heartbeat
LOOKS = 2


class BrokerInbox:
    """Reads the queues of a broker by kombu. Its thread ends with :meth:`stop`."""

    def __init__(self, app: Celery, intake: Intake) -> None:
        self._app = app
        self._intake = intake
        self._lock = threading.Lock()
        self._queues: dict[str, None] = {}
        self._stopped = threading.Event()
        self._is_away = False
        self._thread = threading.Thread(target=self._run, name="inbox", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Stop reading. What was taken is filed, or goes back, within ``seconds``."""
        self._stopped.set()
        self._thread.join(seconds)

    def queues(self) -> list[str]:
        """Return the queues that are read."""
        with self._lock:
            return list(self._queues)

    def read(self, queue: str) -> None:
        """Read a queue, too."""
        with self._lock:
            self._queues[queue] = None

    def leave(self, queue: str) -> None:
        """Read a queue no more."""
        with self._lock:
            self._queues.pop(queue, None)

    def _run(self) -> None:
        errors: tuple[type[Exception], ...] = (OSError,)
        while not self._stopped.is_set():
            try:
                with self._app.connection_for_read(heartbeat=self._app.conf.broker_heartbeat) as connection:
                    errors = (OSError, *connection.connection_errors, *connection.channel_errors)
                    self._read_all(connection)
            except errors as error:
                if not self._is_away:
                    log.warning("inbox_away", f"{type(error).__name__}; trying on")
                self._is_away = True
                self._stopped.wait(AWAY)
            except Exception as error:  # noqa: BLE001 - the thread goes on: without it no check would come in any more
                # the text of the error may quote a message
                log.error("intake_failed", f"{type(error).__name__}; trying on")  # noqa: TRY400
                self._stopped.wait(AWAY)

    def _read_all(self, connection: Connection) -> None:
        taken: list[BrokerMessage] = []
        consumer = Consumer(
            connection.channel(),
            queues=[],
            accept=self._app.conf.accept_content,
            on_message=taken.append,
            prefetch_count=BATCH,
        )
        read: list[str] = []
        look_at = 0.0
        while not self._stopped.is_set():
            read = self._follow(consumer, read)
            self._is_away = False
            self._drain(connection, taken)
            if taken:
                self._take_in(taken)
                taken.clear()
            if connection.get_heartbeat_interval() and time.monotonic() >= look_at:
                connection.heartbeat_check(rate=LOOKS)
                look_at = time.monotonic() + connection.get_heartbeat_interval() / LOOKS

    def _follow(self, consumer: Consumer, read: list[str]) -> list[str]:
        """Have ``consumer`` read the queues that are to be read, instead of those in ``read``."""
        wanted = self.queues()
        for queue in read:
            if queue not in wanted:
                consumer.cancel_by_queue(queue)
        anew = [queue for queue in wanted if queue not in read]
        for queue in anew:
            consumer.add_queue(queue_named(queue))
        if anew:
            consumer.consume()
        return wanted

    def _drain(self, connection: Connection, taken: list[Any]) -> None:
        """Wait for a message, and gather those that come with it."""
        wait = WAIT
        while len(taken) < BATCH:
            try:
                connection.drain_events(timeout=wait)
            except TimeoutError:
                return
            wait = GATHER

    def _take_in(self, taken: list[BrokerMessage]) -> None:
        """Take in messages, however long the store is away."""
        received = [
            Received(message, str(message.delivery_info.get("routing_key")), str(message.delivery_tag))
            for message in taken
        ]
        while True:
            try:
                _, kept = self._intake.take_in(received)
                break
            except STORE_AWAY as error:
                if not self._is_away:
                    log.warning("store_away", f"{reason(error)}; trying on")
                self._is_away = True
                if self._stopped.wait(AWAY):
                    return  # the broker gives them out again
        if kept:
            # they would come again at once
            self._stopped.wait(AWAY)
        for message, (*_, tag) in zip(taken, received, strict=True):
            if tag in kept:
                message.requeue()
            elif not message.acknowledged:
                message.ack()
