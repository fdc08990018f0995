"""The Redis transport hands out messages as kombu's own does, and loses none on its way.

Tests: worker.fetching.transport
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu import Connection, Consumer, Message, Producer, Queue
from kombu.transport.redis import Transport as KombuTransport

from config.celery import celery_configuration, queue_named
from config.settings import Settings
from tests.support.checks import send_text, verdict_of, words
from tests.support.processes import eventually
from tests.support.queues import queued, unacknowledged
from tests.support.system import System
from worker.fetching.transport import RENEWALS, Transport

QUEUE = "wxcheck.push"
VISIBILITY_TIMEOUT = Settings.model_fields["visibility_timeout"].default
DATABASE = 9

both = pytest.mark.parametrize("transport", [KombuTransport, Transport], ids=["kombu", "ours"])


@pytest.fixture
def store(system: System) -> Iterator[redis.Redis]:
    with system.database(DATABASE) as client:
        yield client


class Worker:
    """A consumer of the queue, and what it has received."""

    def __init__(self, system: System, transport: type[Any] = Transport, prefetch: int = 0, *queues: Queue) -> None:
        url = system.database_url(DATABASE)
        options = celery_configuration(Settings(redis_url=url))["broker_transport_options"]
        self.connection = Connection(url, transport=transport, transport_options=options)
        self.channel = self.connection.channel()
        self.channel.basic_qos(0, prefetch, False)
        self.received: list[Message] = []
        Consumer(
            self.channel, queues=queues or [queue_named(QUEUE)], on_message=self.received.append, auto_declare=False
        ).consume()

    def receive(self, seconds: float = 0.3, count: int = 0) -> list[str]:
        """Reads until ``count`` have come, and what comes for a while after them; the ids that came."""
        before = len(self.received)
        while len(self.received) < before + count:
            self.receive_next()
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                self.connection.drain_events(timeout=left)
        return [message.headers["id"] for message in self.received[before:]]

    def receive_next(self) -> Message:
        before = len(self.received)
        eventually(lambda: self.receive(0.05) or len(self.received) > before, "a message comes")
        return self.received[before]

    def ask(self) -> None:
        """Sends what asks the broker for messages, and reads no answer."""
        self.connection.transport.cycle.on_poll_start()

    def die(self) -> None:
        """Loses its connections, as by SIGKILL: nothing is given back, and no answer is read."""
        self.channel.qos._on_collect.cancel()
        self.channel.qos._delivered.clear()
        self.channel._in_poll = None
        self.channel.client.connection.disconnect()
        self.connection.transport.cycle.close()


@pytest.fixture
def workers(system: System, store: redis.Redis) -> Iterator[Any]:
    made: list[Worker] = []

    def make(*args: Any) -> Worker:
        made.append(Worker(system, *args))
        return made[-1]

    yield make
    for worker in made:
        worker.connection.release()


def publish(system: System, *names: str, queue: str = QUEUE, **properties: Any) -> None:
    """As any application does, with kombu's own transport."""
    with Connection(system.database_url(DATABASE), transport=KombuTransport) as connection:
        for name in names:
            Producer(connection).publish([[], {}, {}], routing_key=queue, headers={"id": name}, **properties)


def outlast(store: redis.Redis, seconds: float) -> None:
    """Lets time pass over what is unacknowledged."""
    tags: list[Any] = store.zrange("wxcheck:unacked_index", 0, -1, withscores=True)
    for tag, at in tags:
        store.zadd("wxcheck:unacked_index", {tag: at - seconds})


# -- as kombu does -----------------------------------------------------------------------------------------------------


@both
def test_what_is_consumed_without_acknowledgement_is_not_kept_as_unacknowledged(
    system: System, workers: Any, store: redis.Redis, transport: type[Any]
) -> None:
    worker = workers(transport, 0, queue_named("elsewhere"))
    replies: list[Message] = []
    reply_queue = queue_named("replies")
    Consumer(worker.channel, queues=[reply_queue], no_ack=True, on_message=replies.append, auto_declare=False).consume()
    publish(system, "a reply", queue="replies")
    eventually(lambda: worker.receive(0.05) or replies, "the reply comes")
    assert [message.headers["id"] for message in replies] == ["a reply"]
    assert not unacknowledged(store)
    assert not store.exists("replies")


@both
def test_messages_come_in_their_order(system: System, workers: Any, transport: type[Any]) -> None:
    publish(system, *"abcdefghijklmnopqrstuvwxyz")
    assert workers(transport).receive(count=26) == list("abcdefghijklmnopqrstuvwxyz")


@both
def test_what_waits_with_a_higher_priority_comes_first(system: System, workers: Any, transport: type[Any]) -> None:
    publish(system, "backfill", priority=9)
    publish(system, "later", priority=3)
    publish(system, "post")
    assert workers(transport, 1).receive_next().headers["id"] == "post"
    assert workers(transport).receive(count=2) == ["later", "backfill"]


@both
def test_a_worker_has_no_more_in_hand_than_it_asked_for(system: System, workers: Any, transport: type[Any]) -> None:
    publish(system, "a", "b", "c")
    worker = workers(transport, 2)
    assert worker.receive(count=2) == ["a", "b"]
    worker.received[0].ack()
    assert worker.receive(count=1) == ["c"]


@both
def test_several_queues_are_served(system: System, workers: Any, transport: type[Any]) -> None:
    worker = workers(transport, 0, Queue("one"), Queue("two"))
    assert worker.receive(0.1) == []
    publish(system, "a", queue="two")
    publish(system, "b", queue="one")
    eventually(lambda: worker.receive(0.1) and len(worker.received) == 2, "both come")


@both
def test_an_acknowledged_message_is_gone(
    system: System, store: redis.Redis, workers: Any, transport: type[Any]
) -> None:
    publish(system, "a")
    workers(transport).receive_next().ack()
    assert (queued(store, QUEUE), unacknowledged(store)) == ([], 0)


@both
def test_what_a_worker_has_in_hand_goes_back_when_it_stops(
    system: System, store: redis.Redis, workers: Any, transport: type[Any]
) -> None:
    publish(system, "a", "b", "c")
    worker = workers(transport, 2)
    worker.receive(count=2)
    worker.connection.release()
    assert sorted(queued(store, QUEUE)) == ["a", "b", "c"]
    assert unacknowledged(store) == 0


@both
def test_what_a_dead_worker_had_in_hand_is_given_out_again_when_its_time_is_over(
    system: System, store: redis.Redis, workers: Any, transport: type[Any]
) -> None:
    publish(system, "a")
    dead = workers(transport)
    assert not dead.receive_next().delivery_info.get("redelivered")
    dead.die()
    worker = workers(transport)
    worker.channel.qos.restore_visible(interval=1)
    assert worker.receive() == []
    outlast(store, VISIBILITY_TIMEOUT)
    worker.channel.qos.restore_visible(interval=1)
    message = worker.receive_next()
    assert (message.headers["id"], message.delivery_info["redelivered"]) == ("a", True)


# -- better ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("transport", "lost"), [(KombuTransport, True), (Transport, False)], ids=["kombu", "ours"])
def test_a_worker_that_dies_before_it_reads_the_answer_loses_nothing(
    system: System, store: redis.Redis, workers: Any, transport: type[Any], lost: bool
) -> None:
    """kombu's loses it, which is why there is one of our own; when it does no more, ours can go."""
    publish(system, "a")
    dead = workers(transport)
    dead.ask()
    eventually(lambda: not queued(store, QUEUE), "the message is on its way")
    dead.die()
    assert unacknowledged(store) == (0 if lost else 1)
    outlast(store, VISIBILITY_TIMEOUT)
    worker = workers(transport)
    worker.channel.qos.restore_visible(interval=1)
    assert worker.receive(count=0 if lost else 1) == ([] if lost else ["a"])


def test_messages_go_back_to_the_place_that_they_had(system: System, store: redis.Redis, workers: Any) -> None:
    publish(system, "a", "b", "c", "d")
    worker = workers(Transport, 3)
    worker.receive(count=3)
    worker.connection.release()
    assert queued(store, QUEUE) == ["a", "b", "c", "d"]


def test_what_was_left_behind_comes_first_again_the_oldest_first(
    system: System, store: redis.Redis, workers: Any
) -> None:
    publish(system, "a", "b", "c", "d")
    publish(system, "low", priority=9)
    workers(Transport, 3).receive(count=3)
    outlast(store, VISIBILITY_TIMEOUT)
    workers(Transport, 1).channel.qos.restore_visible()
    assert queued(store, QUEUE) == ["a", "b", "c", "d", "low"]


def test_a_message_that_was_given_back_is_not_taken_for_one_left_behind(system: System, workers: Any) -> None:
    publish(system, "a")
    worker = workers()
    worker.receive_next().requeue()
    assert not worker.receive_next().delivery_info.get("redelivered")


@pytest.mark.parametrize("info", ["{}", '{"exchange": ""}', '{"redelivered": true}', '{"nested": {"a": {}}}'])
def test_the_mark_of_a_message_left_behind_leaves_it_readable(store: redis.Redis, workers: Any, info: str) -> None:
    told = '"headers": {"id": "a", "quoted": "\\"delivery_info\\": {}"}'
    message = f'{{"body": "", "content-type": null, {told}, "properties": {{"delivery_info": {info}, "n": [1, []]}}}}'
    store.hset("wxcheck:unacked", "tag", f"{QUEUE}\n{message}")
    store.zadd("wxcheck:unacked_index", {"tag": 1})
    worker = workers()
    worker.channel.qos.restore_visible()
    found = worker.receive_next()
    assert found.delivery_info["redelivered"] is True
    assert found.headers == {"id": "a", "quoted": '"delivery_info": {}'}
    assert found.properties["n"] == [1, []]


def test_a_long_run_is_not_given_to_somebody_else(system: System, store: redis.Redis, workers: Any) -> None:
    publish(system, "a")
    worker = workers()
    worker.receive_next()
    for _ in range(3):
        outlast(store, VISIBILITY_TIMEOUT * (1 - 1 / RENEWALS))
        worker.channel.qos.renew()
        workers(Transport, 1).channel.qos.restore_visible()
    assert queued(store, QUEUE) == []


def test_a_run_that_hangs_does_not_keep_its_message_for_ever(
    system: System, store: redis.Redis, workers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.fetching.transport.LONGEST_IN_HAND", 0)
    publish(system, "a")
    worker = workers()
    worker.receive_next()
    outlast(store, VISIBILITY_TIMEOUT)
    worker.channel.qos.renew()
    worker.channel.qos.restore_visible()
    assert queued(store, QUEUE) == ["a"]


def test_a_late_acknowledgement_takes_no_message_from_who_has_it_now(
    system: System, store: redis.Redis, workers: Any
) -> None:
    publish(system, "a")
    slow, quick = workers(Transport, 1), workers(Transport, 1)
    first = slow.receive_next()
    outlast(store, VISIBILITY_TIMEOUT)
    quick.channel.qos.restore_visible()
    second = quick.receive_next()
    first.ack()
    assert unacknowledged(store) == 1
    second.ack()
    assert unacknowledged(store) == 0


def test_what_is_given_out_again_needs_no_exchange(system: System, store: redis.Redis, workers: Any) -> None:
    """A Redis that was emptied knows none. kombu drops such a message."""
    with Connection(system.database_url(DATABASE), transport=KombuTransport) as connection:
        queue = queue_named(QUEUE)
        Producer(connection).publish(
            [[], {}, {}], exchange=queue.exchange, routing_key=QUEUE, declare=[queue], headers={"id": "a"}
        )
    worker = workers(Transport, 1)
    worker.receive_next()
    store.delete(f"_kombu.binding.{QUEUE}")
    outlast(store, VISIBILITY_TIMEOUT)
    worker.channel.qos.restore_visible()
    assert queued(store, QUEUE) == ["a"]


def test_an_idle_worker_is_woken_by_a_message(system: System, workers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.fetching.transport.LOOK", 60)
    worker = workers()
    worker.receive(0.2)
    publish(system, "a")
    assert worker.receive_next().headers["id"] == "a"


def test_an_idle_worker_is_woken_by_a_message_of_the_priority_that_was_last_used(
    system: System, workers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(system, "a", priority=3)
    worker = workers()
    worker.receive_next()
    monkeypatch.setattr("worker.fetching.transport.LOOK", 60)
    worker.receive(0.2)
    publish(system, "b", priority=3)
    assert worker.receive_next().headers["id"] == "b"


def test_an_idle_worker_finds_a_message_of_any_priority(system: System, workers: Any) -> None:
    worker = workers()
    for priority in (9, 0, 6, 3):
        worker.receive(0.1)
        publish(system, str(priority), priority=priority)
        assert worker.receive_next().headers["id"] == str(priority)


def test_waiting_moves_no_message(system: System, store: redis.Redis, workers: Any) -> None:
    idle = [workers(Transport, 1) for _ in range(3)]
    for worker in idle:
        worker.receive(0.1)
        worker.ask()
    publish(system, "a", "b", "c", "d", "e")
    eventually(lambda: queued(store, QUEUE) == ["a", "b", "c", "d", "e"], "all are there, in their order")
    for worker in idle:
        worker.die()
    assert workers().receive(count=5) == ["a", "b", "c", "d", "e"]


def test_a_worker_goes_on_when_redis_has_forgotten_its_scripts(
    system: System, store: redis.Redis, workers: Any
) -> None:
    worker = workers()
    worker.receive(0.1)
    store.script_flush()
    publish(system, "a")
    worker.receive_next().requeue()
    store.script_flush()
    assert worker.receive_next().headers["id"] == "a"


@pytest.mark.parametrize("garbage", ["", "no JSON", "[1]", '{"body": ""}', '"text"', "\xff", "[" * 100_000])
def test_what_is_no_message_is_dropped_and_told_and_the_next_one_comes(
    system: System,
    store: redis.Redis,
    workers: Any,
    garbage: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store.lpush(QUEUE, garbage.encode("latin-1"))
    publish(system, "a")
    worker = workers()
    assert worker.receive(count=1) == ["a"]
    assert unacknowledged(store) == 1
    assert f"message_dropped queue={QUEUE}: {len(garbage)} bytes" in caplog.text


@contextlib.contextmanager
def full(store: redis.Redis) -> Iterator[None]:
    before = store.config_get("maxmemory")
    store.config_set("maxmemory", 1)
    try:
        yield
    finally:
        store.config_set("maxmemory", str(before["maxmemory"]))


def test_messages_come_out_of_a_redis_that_is_full(system: System, store: redis.Redis, workers: Any) -> None:
    publish(system, "a", "b", "c")
    worker = workers(Transport, 1)
    worker.receive_next().requeue()
    with full(store):
        worker.receive_next().requeue()
        worker.receive_next().ack()
        worker.receive_next().reject()
        worker.receive_next().reject(requeue=True)
        assert worker.receive_next().headers["id"] == "c"
    outlast(store, VISIBILITY_TIMEOUT + 1)
    with full(store):
        worker.channel.qos.restore_visible()
        worker.channel.qos.restore_unacked()
        assert workers().receive_next().headers["id"] == "c"
    assert (queued(store, QUEUE), unacknowledged(store)) == ([], 1)


def test_what_is_no_message_and_what_nobody_acknowledges_comes_out_of_a_redis_that_is_full(
    system: System, store: redis.Redis, workers: Any
) -> None:
    store.lpush(QUEUE, "no JSON")
    worker = workers()
    replies: list[Message] = []
    Consumer(
        worker.channel, [queue_named("replies")], no_ack=True, on_message=replies.append, auto_declare=False
    ).consume()
    publish(system, "a reply", queue="replies")
    with full(store):
        eventually(lambda: worker.receive(0.05) or replies, "the reply comes")
        eventually(lambda: worker.receive(0.05) or not store.exists(QUEUE), "what is no message is dropped")
        assert unacknowledged(store) == 0


def test_a_queue_of_a_redis_that_is_full_is_measured_and_emptied(
    system: System, store: redis.Redis, workers: Any
) -> None:
    publish(system, "a", "b")
    publish(system, "c", priority=9)
    channel = workers(Transport, 0, queue_named("elsewhere")).channel
    with full(store):
        assert queue_named(QUEUE)(channel).queue_declare(passive=True).message_count == 3
        assert channel.queue_purge(QUEUE) == 3
    assert not store.exists(QUEUE)


TAKES_NO_WRITES = [
    (("CONFIG", "SET", "min-replicas-to-write", "1"), ("CONFIG", "SET", "min-replicas-to-write", "0")),
    (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
    (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
]


@pytest.mark.parametrize(("stop", "go_on"), TAKES_NO_WRITES, ids=["no replicas", "full", "a replica"])
def test_a_worker_starts_and_connects_anew_while_redis_takes_no_writes(
    tmp_path: Path, stop: tuple[str, ...], go_on: tuple[str, ...]
) -> None:
    system = System(tmp_path)
    try:
        system.sandbox()
        system.redis.execute_command(*stop)
        command = ["celery", "-A", "worker", "worker", "-Q", "wxcheck.text", "-n", "early@%h", "--loglevel=INFO"]
        worker = system.run("early", command)
        worker.wait_for("Trying to re")
        system.redis.execute_command(*go_on)
        worker.wait_for(" ready.")
        system.redis.execute_command(*stop)
        tried = worker.output.count("Trying to re")
        system.redis.client_kill_filter(_type="normal", skipme=True)
        eventually(lambda: worker.output.count("Trying to re") > tried + 1, "it connects, and cannot work")
        system.redis.execute_command(*go_on)
        assert verdict_of(send_text(system.app, words()))["suggest"] == "pass"
        assert worker.stop() == 0
    finally:
        system.close()
