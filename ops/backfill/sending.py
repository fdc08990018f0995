"""The publishing of batches. If broker and store are one Redis, a batch and its mark are one step."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from kombu.exceptions import OperationalError

from config.celery import CONNECT_TIMEOUT
from config.days import DAY
from ops.backfill.faults import CannotGoOn
from store import keys
from store.outbox.outbox import set_aside
from store.scripts import script
from worker.messages import HIDDEN
from wxcheck import LOW_PRIORITY

if TYPE_CHECKING:
    from celery import Celery
    from redis import Redis

    from ops.backfill.validation import LineCheck

#: seconds to keep the mark of a run after its last sign of life
KEEP = 30 * DAY


class Task(NamedTuple):
    """A check and the task id that it is sent with."""

    task_id: str
    check: LineCheck


class Lost(Exception):
    """Published checks may be gone: the store was emptied, or went back to an earlier state."""


class Torn(Exception):
    """The broker went away in the middle of a batch."""

    def __init__(self, confirmed: list[Task], unsent: list[Task]) -> None:
        super().__init__()
        #: checks that the broker took, and checks that it was not given; it may have taken a check that is in neither
        self.confirmed = confirmed
        self.unsent = unsent


class Taken(CannotGoOn):
    """Another process goes on with the run."""

    def __init__(self) -> None:
        super().__init__("another wxcheck submit has taken this run over; let that one go on")


class Sender(Protocol):
    """Sends the batches of one run."""

    #: most checks in a batch
    batch: int
    #: a batch and its mark are one step, so the mark is certain
    knows: bool

    def claim(self) -> int | None:
        """Claim the run for this process.

        Returns the number of the last published batch; None if the store knows nothing of the run.
        """
        ...

    def send(self, number: int, tasks: list[Task]) -> None:
        """Publish a batch.

        Raises:
            Lost, Taken, Torn: nothing, or only a part, was published.
            an error that ``passes`` (:mod:`worker.ending.backend`): call this again later.
        """
        ...

    def look(self) -> None:
        """Look at the mark of the run.

        Raises:
            Lost, Taken: the mark is gone, behind, or another process'.
        """
        ...

    def close(self) -> None: ...


class _Marked:
    """A sender with a mark in the store: the owner of the run, and its last published batch."""

    def __init__(self, app: Celery, store: Redis, run: str) -> None:
        self._app = app
        self._store = store
        self._key = keys.backfill(run)
        self._owner = uuid.uuid4().hex
        self._number = 0
        self._connection: Any = None
        self._producer: Any = None

    def claim(self) -> int | None:
        with self._store.pipeline(transaction=True) as pipe:
            pipe.hget(self._key, "batch")
            pipe.hsetnx(self._key, "batch", 0)
            pipe.hset(self._key, "owner", self._owner)
            pipe.expire(self._key, KEEP)
            found, *_ = pipe.execute()
        self._number = int(found or 0)
        return int(found) if found is not None else None

    def look(self) -> None:
        owner, number = cast("list[str | None]", self._store.hmget(self._key, "owner", "batch"))
        if owner is None or (owner == self._owner and number != str(self._number)):
            raise Lost
        if owner != self._owner:
            raise Taken

    def close(self) -> None:
        if self._connection is not None:
            self._connection.release()
            self._connection = self._producer = None

    def _connect(self) -> None:
        """Open a connection of the sender's own: a wait for one of Celery's pool has no end."""
        if self._producer is not None:
            return
        connection = self._app.connection_for_write()
        try:
            connection.ensure_connection(max_retries=1, timeout=CONNECT_TIMEOUT, interval_start=0)
            self._producer = self._app.amqp.Producer(connection)
        except BaseException:
            connection.release()
            raise
        self._connection = connection

    def _publish(self, task: Task) -> None:
        check = task.check
        message = self._app.amqp.create_task_message(task.task_id, check.task, (), check.kwargs, **HIDDEN)
        self._app.amqp.send_task_message(
            self._producer, check.task, message, queue=check.queue, priority=LOW_PRIORITY, retry=False
        )


class OneRedis(_Marked):
    """Broker and store are one Redis."""

    batch = 200
    knows = True

    def __init__(self, app: Celery, store: Redis, run: str) -> None:
        super().__init__(app, store, run)
        self._submit = script(store, "ops/backfill/publish_batch")

    def send(self, number: int, tasks: list[Task]) -> None:
        messages = self._messages(tasks)
        lists, texts = [name for name, _ in messages], [text for _, text in messages]
        said = self._submit(keys=[self._key, *lists], args=[self._owner, self._number, number, KEEP, *texts])
        if said == "taken":
            raise Taken
        if said == "lost":
            raise Lost
        self._number = number

    def _messages(self, tasks: list[Task]) -> list[tuple[str, str]]:
        """Return a broker's list and a message for it, of each check."""
        try:
            self._connect()
            with set_aside() as messages:
                for task in tasks:
                    self._publish(task)
        except BaseException:
            self.close()
            raise
        return messages


class AnyBroker(_Marked):
    """A broker that has no marks: a batch is smaller, and in doubt until its last message is confirmed."""

    batch = 20
    knows = False
    #: number of the last batch that the broker took
    _gone_out = 0

    def send(self, number: int, tasks: list[Task]) -> None:
        if number != self._gone_out:
            self.look()
            self._connect()
            self._publish_each(tasks)
            self._gone_out = number
        # if the store is away, only this is repeated
        self._store.hset(self._key, "batch", number)
        self._number = number

    def _publish_each(self, tasks: list[Task]) -> None:
        for sent, task in enumerate(tasks):
            try:
                self._publish(task)
            except (OperationalError, *self._connection.connection_errors, *self._connection.channel_errors):
                self.close()
                raise Torn(tasks[:sent], tasks[sent + 1 :]) from None
