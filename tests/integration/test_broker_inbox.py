"""The inbox of a RabbitMQ is read, and left, while it runs.

Tests: worker.intake.broker_inbox
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest
from celery import Celery

from config.celery import queue_named
from tests.support.processes import PATIENCE, eventually
from tests.support.rabbitmq import RabbitMQ, needs_rabbitmq
from worker.intake.broker_inbox import WAIT, BrokerInbox
from worker.intake.intake import Batch, Intake, Received

TEXT, MEDIA = "wxcheck.text", "wxcheck.media"


class Recorder:
    """An intake that remembers what it was handed."""

    in_one_step = False

    def __init__(self) -> None:
        self.ids: list[str] = []

    def read(self, received: Sequence[Received]) -> Batch:
        self.ids += [str(message.headers["id"]) for message, *_ in received]
        return Batch([], [], [], [])

    def file(self, _: Batch) -> list[str]:
        return []


class Reading:
    def __init__(self, node: RabbitMQ) -> None:
        self.node = node
        self.app = Celery("inbox", broker=node.url, set_as_current=False)
        self.intake = Recorder()
        self.inbox = BrokerInbox(self.app, cast("Intake", self.intake))

    def put(self, queue: str, task_id: str) -> None:
        with self.app.connection_for_write() as connection, connection.Producer() as producer:
            message: dict[str, Any] = {"headers": {"id": task_id}, "declare": [queue_named(queue)]}
            producer.publish([], exchange="", routing_key=queue, **message)


@pytest.fixture
def reading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reading]:
    needs_rabbitmq()
    node = RabbitMQ(tmp_path_factory.mktemp("inbox"))
    found = Reading(node)
    try:
        yield found
    finally:
        found.inbox.stop(PATIENCE)
        found.app.close()
        node.close()


def test_queues_are_read_and_left_at_any_time(reading: Reading) -> None:
    reading.inbox.serve([TEXT])
    reading.inbox.start()
    reading.put(TEXT, "text")
    reading.put(MEDIA, "media")
    eventually(lambda: reading.intake.ids == ["text"], "one queue is read")
    reading.inbox.serve([TEXT, MEDIA])
    eventually(lambda: reading.intake.ids == ["text", "media"], "the other one, too")
    reading.inbox.serve([MEDIA])
    # it may just be waiting for the next message
    time.sleep(3 * WAIT)
    reading.put(TEXT, "later")
    reading.put(MEDIA, "last")
    eventually(lambda: reading.intake.ids == ["text", "media", "last"], "the queue that was left keeps its message")
    eventually(lambda: reading.node.length(TEXT) == 1, "it waits there")
    reading.inbox.serve([MEDIA, TEXT])
    eventually(lambda: reading.intake.ids[-1] == "later", "it is read again")
    reading.inbox.stop(PATIENCE)
    assert reading.node.held([TEXT, MEDIA]) == {TEXT: 0, MEDIA: 0}, "all are acknowledged"


def test_an_idle_connection_is_kept_by_heartbeats(reading: Reading, caplog: pytest.LogCaptureFixture) -> None:
    # long enough for a machine that is busy with others
    reading.app.conf.broker_heartbeat = 4
    reading.inbox.serve([TEXT])
    reading.inbox.start()
    # RabbitMQ ends a connection without heartbeats after three times as long at the latest
    time.sleep(13)
    reading.put(TEXT, "text")
    eventually(lambda: reading.intake.ids == ["text"], "the queue is read")
    assert [record for record in caplog.records if vars(record).get("event") == "inbox_away"] == []
