"""The inbox of a Redis broker is read without a delay, and costs next to nothing while it is empty.

Tests: worker.intake.inbox, worker.intake.redis_inbox
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest
import redis

from config.broker_lists import list_of
from store.places.places import BATCH
from tests.support.processes import PATIENCE, eventually
from tests.support.queues import queued, unacknowledged
from worker.intake.intake import Batch, Intake, Received
from worker.intake.reading import Unreadable
from worker.intake.redis_inbox import LEFT, LOOK, RedisInbox

TEXT, MEDIA, PUSH = "wxcheck.text", "wxcheck.media", "wxcheck.push"


class Recorder:
    """An intake that remembers what it was handed, in batches of queues and ids."""

    in_one_step = False

    def __init__(self) -> None:
        self.batches: list[list[tuple[str, str]]] = []
        self.kept: list[str] = []
        self.dropped: list[tuple[str, str]] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def read(self, received: Sequence[Received]) -> Batch:
        self.batches.append([(queue, str(message.headers["id"])) for message, queue, _ in received])
        return Batch([], [], [], [tag for message, _, tag in received if message.headers["id"] in self.kept])

    def file(self, batch: Batch) -> list[str]:
        assert self.may_go_on.wait(PATIENCE)
        return batch.kept

    def drop(self, queue: str, unreadable: Unreadable) -> None:
        self.dropped.append((queue, unreadable.why))

    def ids(self) -> list[str]:
        return [task_id for batch in self.batches for _, task_id in batch]


class Reading:
    """An inbox on a Redis of its own, and its intake."""

    def __init__(self, client: redis.Redis) -> None:
        self.redis = client
        self.url = "redis://{host}:{port}/0".format(**client.get_connection_kwargs())
        self.intake = Recorder()
        self.inbox = RedisInbox(self.url, cast("Intake", self.intake))
        self.inbox.serve([TEXT, MEDIA, PUSH])

    def put(self, queue: str, *ids: str, priority: int = 0) -> None:
        name = list_of(queue, priority)
        for task_id in ids:
            self.redis.lpush(name, json.dumps(message(task_id)))

    def commands(self, seconds: float) -> float:
        """The commands a second that Redis runs, the asking left out."""
        before = self._processed()
        time.sleep(seconds)
        return (self._processed() - before - 1) / seconds

    def _processed(self) -> int:
        return int(self.redis.info("stats")["total_commands_processed"])


def message(task_id: str) -> dict[str, Any]:
    return {
        "body": "[[], {}, {}]",
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"id": task_id, "task": "wxcheck.check_text"},
        "properties": {"delivery_info": {}, "delivery_tag": uuid.uuid4().hex},
    }


@pytest.fixture
def reading(server: redis.Redis) -> Iterator[Reading]:
    server.flushall()
    found = Reading(server)
    try:
        yield found
    finally:
        found.intake.may_go_on.set()
        found.inbox.stop(PATIENCE)


def test_messages_come_by_priority_and_then_in_their_order(reading: Reading) -> None:
    reading.put(TEXT, "low", priority=9)
    reading.put(MEDIA, "a", "b")
    reading.put(TEXT, "high 1", "high 2", priority=0)
    reading.put(PUSH, "odd", priority=4)
    reading.inbox.start()
    eventually(lambda: len(reading.intake.ids()) == 6, "all have come")
    (batch,) = reading.intake.batches
    assert sorted(batch[:4]) == [(MEDIA, "a"), (MEDIA, "b"), (TEXT, "high 1"), (TEXT, "high 2")]
    assert [task_id for queue, task_id in batch[:4] if queue == MEDIA] == ["a", "b"]
    assert batch[4:] == [(PUSH, "odd"), (TEXT, "low")]
    eventually(lambda: not unacknowledged(reading.redis), "they are struck off")


def test_no_queue_waits_behind_the_backlog_of_another(reading: Reading) -> None:
    reading.put(TEXT, *[f"text {number}" for number in range(20 * BATCH)])
    reading.put(PUSH, "push")
    reading.put(MEDIA, "media")
    reading.inbox.start()
    eventually(lambda: len(reading.intake.ids()) == 20 * BATCH + 2, "all have come")
    first = [task_id for batch in reading.intake.batches[:3] for _, task_id in batch]
    assert {"push", "media"} <= set(first)


def test_an_empty_inbox_costs_a_dozen_commands_a_second_or_two(reading: Reading) -> None:
    reading.inbox.start()
    reading.put(TEXT, "one")
    eventually(lambda: reading.intake.ids() == ["one"], "it has come")
    time.sleep(3 * LOOK)
    assert reading.commands(3) < 30


def test_a_message_in_any_list_comes_at_the_next_look(reading: Reading) -> None:
    reading.inbox.start()
    for number, (queue, priority) in enumerate([(TEXT, 0), (TEXT, 9), (MEDIA, 0), (PUSH, 0), (PUSH, 6), (TEXT, 0)]):
        time.sleep(3 * LOOK)
        reading.put(queue, str(number), priority=priority)
        eventually(lambda number=number: str(number) in reading.intake.ids(), "it has come")  # type: ignore[misc]


def test_a_message_wakes_the_worker(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a look: in the list that a queue had messages in last, at first that of the highest priority."""
    monkeypatch.setattr("worker.intake.redis_inbox.LOOK", 10 * PATIENCE)
    reading.inbox.start()
    for number, queue in enumerate([TEXT, MEDIA, PUSH, TEXT]):
        time.sleep(0.3)
        reading.put(queue, str(number))
        eventually(lambda number=number: str(number) in reading.intake.ids(), "it has come")  # type: ignore[misc]


def test_a_queue_that_becomes_something_else_ends_no_thread(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.intake.redis_inbox.WAIT", 0.1)
    reading.inbox.start()
    time.sleep(3 * LOOK)
    reading.redis.set(TEXT, "no list")
    time.sleep(0.5)
    reading.redis.delete(TEXT)
    reading.put(TEXT, "one")
    eventually(lambda: reading.intake.ids() == ["one"], "it has come")
    assert reading.inbox._waiting[TEXT]._thread.is_alive()


def test_a_queue_that_is_left_keeps_its_messages(reading: Reading) -> None:
    reading.inbox.start()
    reading.inbox.serve([MEDIA, PUSH])
    # a look may be under way
    time.sleep(3 * LOOK)
    reading.put(TEXT, "text")
    reading.put(MEDIA, "media")
    eventually(lambda: reading.intake.ids() == ["media"], "the others are read")
    time.sleep(3 * LOOK)
    assert queued(reading.redis, TEXT) == ["text"]
    reading.inbox.serve([MEDIA, PUSH, TEXT])
    eventually(lambda: reading.intake.ids() == ["media", "text"], "it is read again")


def test_what_nobody_has_filed_is_given_out_again_in_its_order(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.intake.redis_inbox.LEFT", 1.0)
    monkeypatch.setattr("worker.intake.redis_inbox.LEFT_INTERVAL", 0.2)
    assert LEFT > 1
    reading.intake.kept = ["a", "b"]
    reading.put(TEXT, "a", "b", "c")
    reading.inbox.start()
    eventually(lambda: reading.intake.ids()[:5] == ["a", "b", "c", "a", "b"], "they have come again")
    reading.intake.kept = []
    eventually(lambda: not unacknowledged(reading.redis), "they are struck off")


def test_what_is_no_message_holds_up_no_other(reading: Reading) -> None:
    reading.redis.lpush(TEXT, "no JSON", "[]", b"\xff\xfe", json.dumps({"properties": 1}))
    reading.put(TEXT, "one")
    reading.inbox.start()
    eventually(lambda: reading.intake.ids() == ["one"], "the others come")
    eventually(lambda: not unacknowledged(reading.redis), "all are struck off")
    assert reading.intake.dropped == [(TEXT, "no_message")] * 4


def test_an_inbox_goes_on_once_its_redis_answers_again(reading: Reading) -> None:
    reading.inbox.start()
    reading.put(TEXT, "one")
    eventually(lambda: reading.intake.ids() == ["one"], "it has come")
    reading.redis.client_kill_filter(_type="normal", skipme=True)
    reading.put(TEXT, "two", priority=3)
    eventually(lambda: reading.intake.ids() == ["one", "two"], "it goes on")


def test_what_was_taken_is_filed_before_an_inbox_stops(reading: Reading) -> None:
    reading.intake.may_go_on.clear()
    reading.put(TEXT, "one")
    reading.inbox.start()
    eventually(lambda: reading.intake.batches, "it is taken")
    stopping = threading.Thread(target=reading.inbox.stop, args=(PATIENCE,))
    stopping.start()
    time.sleep(3 * LOOK)
    assert unacknowledged(reading.redis) == 1
    reading.intake.may_go_on.set()
    stopping.join(PATIENCE)
    assert unacknowledged(reading.redis) == 0
