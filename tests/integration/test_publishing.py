"""Pushes get on the queue of a real Redis as Celery's own messages, in batches, whatever happens to one.

Tests: callbacks.publisher, callbacks.template, callbacks.writers
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery
from kombu.exceptions import OperationalError

from callbacks import publisher, writers
from callbacks.publisher import PUBLISH_SECONDS, Publisher
from callbacks.template import OPTIONS, arguments
from callbacks.writers import RETRY_WITHIN, BatchWriter, Fate, Push
from config.names import PUSH_QUEUE, RECEIVE_PUSH
from tests.support.ports import free_port
from tests.support.quota_world import embedded
from tests.support.relay import Relay
from wechat.push.outcomes import BrokerUnavailable
from worker.celery import app as worker_app

PUSH = {"trace_id": "t-1", "version": 1, "isrisky": 0, "errmsg": '"ok" 下载\u2028\x01', "detail": [{"prob": 0.5}]}
#: a command of more bytes does not get through what stands before Redis
LARGEST = 50_000


@pytest.fixture(scope="module")
def own_store() -> Iterator[redis.Redis]:
    with embedded() as store:
        yield store


@pytest.fixture
def store(own_store: redis.Redis) -> redis.Redis:
    own_store.flushall()
    return own_store


@pytest.fixture
def in_no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what is to happen however long the machine stands still meanwhile."""
    monkeypatch.setattr(writers, "RETRY_WITHIN", 60)
    monkeypatch.setattr(publisher, "PUBLISH_SECONDS", 60)


def port_of(store: redis.Redis) -> int:
    port: int = store.connection_pool.connection_kwargs["port"]
    return port


def app_of(port: int) -> Celery:
    return Celery(broker=f"redis://127.0.0.1:{port}/0", set_as_current=False)


def push(trace_id: str, errmsg: str = "") -> Push:
    loop = asyncio.new_event_loop()
    loop.close()
    return Push(arguments("wx", {"trace_id": trace_id, "errmsg": errmsg}, 1.5), loop.create_future())


def messages(store: redis.Redis) -> list[dict[str, Any]]:
    """The messages on the queue, the one that a worker gets next first."""
    return [json.loads(message) for message in reversed(store.lrange(PUSH_QUEUE, 0, -1))]


def queued(store: redis.Redis) -> list[str]:
    bodies = [json.loads(message["body"]) for message in messages(store)]
    return [kwargs["push"]["trace_id"] for _, kwargs, _ in bodies]


def commands(store: redis.Redis, name: str) -> int:
    found = store.info("commandstats").get(f"cmdstat_{name}", {"calls": 0})
    return int(found["calls"])


def refused(fates: list[Fate]) -> list[int]:
    return [number for number, fate in enumerate(fates) if fate is not None]


# --- the message


def test_a_message_is_the_one_that_celery_sends(store: redis.Redis) -> None:
    app = app_of(port_of(store))
    app.send_task(RECEIVE_PUSH, kwargs={"appid": "wx", "push": PUSH, "received_at": 1.5}, **OPTIONS)
    [fate] = BatchWriter(app).write([Push(arguments("wx", PUSH, 1.5), push("").answer)])
    assert fate is None
    celerys, ours = messages(store)
    ids = []
    for message in (celerys, ours):
        headers, properties = message["headers"], message["properties"]
        task_id = headers.pop("id")
        assert headers.pop("root_id") == task_id
        assert properties.pop("correlation_id") == task_id
        ids += [task_id, properties.pop("delivery_tag")]
        message["body"] = json.loads(message["body"])
    assert ours == celerys
    assert len(set(ids)) == 4
    for text in ids:
        assert re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", text)


def test_the_message_of_the_workers_own_app_has_its_options(store: redis.Redis) -> None:
    """Those of config.celery, on the transport of worker.celery_parts.transport."""
    broker = f"redis://127.0.0.1:{port_of(store)}/0"
    conf = {**worker_app.conf.changes, "broker_url": broker}
    app = Celery("wxcheck", amqp=type(worker_app.amqp), set_as_current=False, config_source=conf)
    assert refused(BatchWriter(app).write([push("t-1")])) == []
    [message] = messages(store)
    assert message["headers"]["task"] == RECEIVE_PUSH
    assert message["headers"]["ignore_result"] is True
    assert (message["headers"]["argsrepr"], message["headers"]["kwargsrepr"]) == ("(…)", "{…}")
    assert message["properties"]["delivery_info"] == {"exchange": "", "routing_key": PUSH_QUEUE}
    assert message["properties"]["delivery_mode"] == 2


@pytest.mark.parametrize("changed", [{"task_compression": "gzip"}, {"task_protocol": 1}], ids=["gzip", "protocol 1"])
def test_a_message_that_cannot_be_filled_in_is_not_sent(store: redis.Redis, changed: dict[str, Any]) -> None:
    app = app_of(port_of(store))
    app.conf.update(changed)
    [fate] = BatchWriter(app).write([push("t-1")])
    assert isinstance(fate, RuntimeError)
    assert messages(store) == []


# --- batches


def test_a_batch_is_one_command_and_keeps_its_order(store: redis.Redis) -> None:
    writer = BatchWriter(app_of(port_of(store)))
    before = commands(store, "lpush")
    names = [f"t-{number}" for number in range(100)]
    assert writer.write([push(name) for name in names]) == [None] * 100
    assert commands(store, "lpush") == before + 1
    assert queued(store) == names
    assert len({message["headers"]["id"] for message in messages(store)}) == 100


@pytest.mark.usefixtures("in_no_hurry")
def test_one_that_is_refused_does_not_fail_its_neighbours(store: redis.Redis) -> None:
    with Relay(free_port(), port_of(store)) as relay:
        relay.before = lambda data: len(data) < LARGEST
        writer = BatchWriter(app_of(relay.port))
        assert writer.write([push("t-0")]) == [None]
        fates = writer.write([push("t-1"), push("t-2", "x" * 2 * LARGEST), push("t-3")])
    assert refused(fates) == [1]
    assert queued(store) == ["t-0", "t-1", "t-3"]


def test_what_redis_refuses_is_refused_to_each_and_nothing_of_it_is_queued(store: redis.Redis) -> None:
    writer = BatchWriter(app_of(port_of(store)))
    assert writer.write([push("t-0")]) == [None]
    store.set(PUSH_QUEUE, "no list")
    fates = writer.write([push("t-1"), push("t-2")])
    assert [type(fate) for fate in fates] == [redis.ResponseError] * 2
    store.delete(PUSH_QUEUE)
    assert writer.write([push("t-3")]) == [None]
    assert queued(store) == ["t-3"]


@pytest.mark.usefixtures("in_no_hurry")
def test_after_a_restart_of_redis_a_batch_is_sent_again(store: redis.Redis) -> None:
    with Relay(free_port(), port_of(store)) as relay:
        writer = BatchWriter(app_of(relay.port))
        assert writer.write([push("t-0")]) == [None]
        relay.go()
        relay.come()
        assert writer.write([push("t-1"), push("t-2")]) == [None] * 2
    assert queued(store) == ["t-0", "t-1", "t-2"]


def test_of_a_batch_whose_redis_goes_away_all_are_refused_in_time(store: redis.Redis) -> None:
    with Relay(free_port(), port_of(store)) as relay:
        writer = BatchWriter(app_of(relay.port))
        assert writer.write([push("t-0")]) == [None]
        relay.go()
        began = time.monotonic()
        fates = writer.write([push(f"t-{number}") for number in range(1, 100)])
        assert time.monotonic() - began < RETRY_WITHIN + 8
    assert len(refused(fates)) == 99
    assert {type(fate) for fate in fates} <= {OperationalError, redis.ConnectionError, TimeoutError}
    assert queued(store) == ["t-0"]


# --- the publisher


async def published(publisher: Publisher, names: list[str]) -> list[str]:
    """Those of ``names`` that are known to be on the queue, all sent at once."""
    fates = await asyncio.gather(
        *(publisher.publish("wx", {"trace_id": name}) for name in names), return_exceptions=True
    )
    assert {type(fate) for fate in fates} <= {type(None), BrokerUnavailable}
    return [name for name, fate in zip(names, fates, strict=True) if fate is None]


@pytest.mark.usefixtures("in_no_hurry")
def test_pushes_at_one_time_are_each_queued_once_in_few_batches(store: redis.Redis) -> None:
    names = [f"t-{number}" for number in range(2000)]
    before = commands(store, "lpush")

    async def run() -> list[str]:
        publisher = Publisher(app_of(port_of(store)))
        known = await published(publisher, names)
        await publisher.close()
        return known

    assert asyncio.run(run()) == names
    assert queued(store) == names
    assert commands(store, "lpush") - before < 100


@pytest.mark.parametrize("what", ["the command is lost", "the answer is lost"])
def test_of_a_redis_that_falls_silent_amid_batches_nothing_is_promised_that_is_not_there(
    store: redis.Redis, what: str
) -> None:
    armed, silent, over = threading.Event(), threading.Event(), threading.Event()
    said = Counter[str]()

    def passes(_: bytes) -> bool:
        said["armed"] += armed.is_set()
        if said["armed"] > 1:
            silent.set()
            over.wait(PUBLISH_SECONDS * 6)
        return not silent.is_set()

    async def run(port: int) -> list[str]:
        publisher = Publisher(app_of(port))
        known: list[str] = []
        for number in range(4):
            if number == 2:
                armed.set()
            began = time.monotonic()
            known += await published(publisher, [f"t-{number}-{count}" for count in range(200)])
            # and what a busy machine takes; the silence is longer
            assert time.monotonic() - began < PUBLISH_SECONDS + 8
        await publisher.close()
        return known

    with Relay(free_port(), port_of(store)) as relay:
        if what == "the command is lost":
            relay.before = passes
        else:
            relay.after = passes
        known = asyncio.run(run(relay.port))
        over.set()
    assert silent.is_set()
    assert 400 <= len(known) < 800
    assert set(known) <= set(queued(store))


def test_pushes_go_on_when_redis_is_back(store: redis.Redis) -> None:
    async def run(relay: Relay) -> None:
        publisher = Publisher(app_of(relay.port))
        assert await published(publisher, ["t-0"]) == ["t-0"]
        relay.go()
        assert await published(publisher, ["t-1", "t-2"]) == []
        relay.come()
        assert await published(publisher, ["t-3", "t-4"]) == ["t-3", "t-4"]
        await publisher.close()

    with Relay(free_port(), port_of(store)) as relay:
        asyncio.run(run(relay))
    assert queued(store) == ["t-0", "t-3", "t-4"]
