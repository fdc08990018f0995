"""The publisher makes batches of what comes, and refuses what comes too late or is too much.

Tests: callbacks.publisher, callbacks.writers
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery, signals

from callbacks import publisher as module
from callbacks import writers
from callbacks.broker import BrokerLink
from callbacks.publisher import Publisher
from callbacks.writers import CONNECTIONS, BatchWriter, Fate, Push, SingleWriter, writers_for
from config.names import RECEIVE_PUSH
from wechat.push.outcomes import BrokerUnavailable

APP = Celery(broker="memory://", set_as_current=False)
#: generous, for a deadline that passes only when something is wrong
SECONDS = 30


class Slow:
    """Takes pushes when it is let; those named ``bad`` it refuses."""

    def __init__(self, at_once: int = 5) -> None:
        self.at_once = at_once
        self.batches: list[list[str]] = []
        self.began = threading.Event()
        self.goes_on = threading.Event()
        #: number of batches before each closing
        self.closed_after: list[int] = []

    def warm_up(self) -> None:
        raise ConnectionError("the broker is away at first")

    def write(self, pushes: Sequence[Push]) -> list[Fate]:
        names = [push.kwargs.split('"trace_id":"')[1].split('"')[0] for push in pushes]
        self.batches.append(names)
        self.began.set()
        assert self.goes_on.wait(SECONDS)
        return [ValueError("no") if name.startswith("bad") else None for name in names]

    def close(self) -> None:
        self.closed_after.append(len(self.batches))


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    writer = Slow()
    monkeypatch.setattr(module, "writers_for", lambda _: [writer])
    monkeypatch.setattr(module, "PUBLISH_SECONDS", SECONDS)
    return writer


def publish(publisher: Publisher, *names: str) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(publisher.publish("wx", {"trace_id": name})) for name in names]


async def begun(slow: Slow) -> None:
    assert await asyncio.to_thread(slow.began.wait, SECONDS)


def test_what_comes_while_one_is_under_way_goes_together(slow: Slow) -> None:
    async def run() -> None:
        publisher = Publisher(APP)
        tasks = publish(publisher, "a")
        await begun(slow)
        tasks += publish(publisher, "b", "c", "bad", "d", "e", "f", "g")
        await asyncio.sleep(0.05)
        assert slow.batches == [["a"]]
        slow.goes_on.set()
        fates = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(fate) for fate in fates] == [type(None)] * 3 + [BrokerUnavailable] + [type(None)] * 4
        await publisher.close()

    asyncio.run(run())
    assert slow.batches == [["a"], ["b", "c", "bad", "d", "e"], ["f", "g"]]


def test_a_batch_has_no_more_bytes_than_it_may(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BATCH_BYTES", 1000)
    names = ["b" * 300, "c" * 300, "d" * 5000, "e" * 300]

    async def run() -> None:
        publisher = Publisher(APP)
        tasks = publish(publisher, "a")
        await begun(slow)
        tasks += publish(publisher, *names)
        await asyncio.sleep(0.05)
        slow.goes_on.set()
        await asyncio.gather(*tasks)
        await publisher.close()

    asyncio.run(run())
    assert slow.batches == [["a"], names[:2], names[2:3], names[3:]]


def test_what_was_given_up_is_not_published(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PUBLISH_SECONDS", 3)

    async def run() -> None:
        publisher = Publisher(APP)
        tasks = publish(publisher, "a")
        await begun(slow)
        tasks += publish(publisher, "late", "late too")
        fates = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(fate) for fate in fates} == {BrokerUnavailable}
        monkeypatch.setattr(module, "PUBLISH_SECONDS", SECONDS)
        in_time = publish(publisher, "in time")
        await asyncio.sleep(0.05)
        slow.goes_on.set()
        await asyncio.gather(*in_time)
        await publisher.close()

    asyncio.run(run())
    assert slow.batches == [["a"], ["in time"]]


def test_while_the_broker_hangs_no_more_is_kept_than_may_be(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING_BYTES", 500)

    async def run() -> None:
        publisher = Publisher(APP)
        tasks = publish(publisher, "a", "b" * 300)
        await begun(slow)
        with pytest.raises(BrokerUnavailable, match="too many"):
            await publisher.publish("wx", {"trace_id": "c" * 300})
        slow.goes_on.set()
        await asyncio.gather(*tasks)
        await publisher.publish("wx", {"trace_id": "d" * 300})
        await publisher.close()

    asyncio.run(run())
    assert [name[0] for batch in slow.batches for name in batch] == ["a", "b", "d"]


def test_closing_publishes_what_is_in_hand_and_ends_threads_and_connections(slow: Slow) -> None:
    async def run() -> None:
        before = set(threading.enumerate())
        publisher = Publisher(APP)
        tasks = publish(publisher, "a", "b")
        await begun(slow)
        [thread] = {each for each in threading.enumerate() if each.name.startswith("publish")} - before
        closing = asyncio.create_task(publisher.close())
        await asyncio.sleep(0.05)
        slow.goes_on.set()
        await closing
        assert not thread.is_alive()
        await asyncio.gather(*tasks)

    asyncio.run(run())
    assert sorted(name for batch in slow.batches for name in batch) == ["a", "b"]
    assert slow.closed_after == [len(slow.batches)]


def test_who_is_tried_alone_is_tried_while_an_answer_can_come_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "RETRY_WITHIN", 0.3)
    monkeypatch.setattr(writers, "time", SimpleNamespace(monotonic=lambda: 0.1 * len(tried)))
    monkeypatch.setattr(BrokerLink, "is_open", True)
    writer = BatchWriter(APP)
    tried: list[int] = []

    def push(pushes: Sequence[Push]) -> Fate:
        tried.append(len(pushes))  # takes a tenth of a second
        return ConnectionError("away")

    monkeypatch.setattr(writer, "_push", push)
    loop = asyncio.new_event_loop()
    fates = writer.write([Push("{}", loop.create_future()) for _ in range(50)])
    loop.close()
    assert [type(fate) for fate in fates] == [ConnectionError] * 50
    assert tried[0] == 50
    assert set(tried[1:]) == {1}
    assert len(tried) <= 4


@pytest.mark.parametrize("url", ["redis://x:1/0", "rediss://x:1", "redis+socket:///x"])
def test_a_redis_is_written_to_in_batches(url: str) -> None:
    [writer] = writers_for(Celery(broker=url, set_as_current=False))
    assert isinstance(writer, BatchWriter)


@pytest.mark.parametrize("url", ["amqp://x:1//", "pyamqp://x:1//", "memory://", "sentinel://x:1"])
def test_every_other_broker_is_written_to_one_by_one_on_several_connections(url: str) -> None:
    found = writers_for(Celery(broker=url, set_as_current=False))
    assert [type(writer) for writer in found] == [SingleWriter] * CONNECTIONS


def _signalled(app: Celery) -> Callable[[], None]:
    def hook(**_: Any) -> None:
        """As OpenTelemetry's."""

    signals.before_task_publish.connect(hook, weak=False)
    return lambda: signals.before_task_publish.disconnect(hook)


def _wrapped(app: Celery) -> Callable[[], None]:
    def send_task(*args: Any, **kwargs: Any) -> Any:
        """As Sentry's."""

    send_task.__wrapped__ = Celery.send_task  # type: ignore[attr-defined]
    type(app).send_task = send_task
    return lambda: delattr(type(app), "send_task")


@pytest.mark.parametrize("watch", [_signalled, _wrapped])
def test_where_publishing_is_watched_each_push_is_celerys_own_publish(watch: Callable[[Any], Any]) -> None:
    class Own(Celery):  # type: ignore[misc]  # Celery ships no types
        pass

    app = Own(broker="redis://x:1/0", set_as_current=False)
    unwatch = watch(app)
    try:
        assert {type(writer) for writer in writers_for(app)} == {SingleWriter}
    finally:
        unwatch()
    assert {type(writer) for writer in writers_for(app)} == {BatchWriter}


def test_one_by_one_means_as_celery_sends_it() -> None:
    app = Celery(broker="memory://publisher", set_as_current=False)
    loop = asyncio.new_event_loop()
    pushes = [Push(f'{{"appid":"wx","n":{number}}}', loop.create_future()) for number in range(3)]
    loop.close()
    assert SingleWriter(app).write(pushes) == [None] * 3
    found = []
    with app.connection_for_read() as connection:
        queue = app.amqp.queues["wxcheck.push"](connection.default_channel)
        while (message := queue.get(no_ack=True)) is not None:
            assert message.headers["task"] == RECEIVE_PUSH
            found.append(message.payload[1]["n"])
    assert found == [0, 1, 2]
