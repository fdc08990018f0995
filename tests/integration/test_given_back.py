"""A flow that gives messages back while a fetch is under way keeps the order of its queue.

Tests: worker.fetching.flow
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import redis
from celery import Celery
from kombu import Connection, Message, Producer

from config.celery import queue_named
from tests.support.processes import eventually
from tests.support.queues import queued, unacknowledged
from tests.support.system import APPID, System
from worker.fetching import flow as flow_module
from worker.fetching.flow import Flow
from worker.fetching.transport import Transport

QUEUE = "wxcheck.text"


class Hub:
    """The worker's loop as a flow needs it; a call for later is made when the test says so."""

    def __init__(self, connection: Connection) -> None:
        self.consumer = SimpleNamespace(
            app=Celery(), connection=connection, connection_errors=connection.connection_errors, on_decode_error=None
        )
        self.share = lambda _: 9
        self.share_anew = self.received = self.gone = self.look = Mock()
        self.fetched: list[Message] = []
        self.handle = self.fetched.append
        self._later: list[Callable[[], None]] = []

    def call(self, function: Callable[..., None], *args: Any) -> None:
        function(*args)

    def later(self, _seconds: float, function: Callable[[], None]) -> None:
        self._later.append(function)

    def time_passes(self) -> None:
        due, self._later = self._later, []
        for function in due:
            function()


@pytest.fixture
def store(system: System) -> Iterator[redis.Redis]:
    with system.database(8) as client:
        yield client


@pytest.fixture
def connection(system: System, store: redis.Redis) -> Iterator[Connection]:
    with Connection(system.database_url(8), transport=Transport) as connection:
        yield connection


def publish(connection: Connection, *names: str) -> None:
    with connection.channel() as channel:
        for name in names:
            queue = queue_named(QUEUE)
            headers = {"id": name, "task": "wxcheck.check_text"}
            Producer(channel).publish(
                [[], {}, {}], exchange=queue.exchange, routing_key=QUEUE, declare=[queue], headers=headers
            )


def test_a_message_on_its_way_when_the_queue_pauses_gets_before_none_that_is_given_back(
    connection: Connection, store: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_module, "runtime", lambda: SimpleNamespace(settings=SimpleNamespace(default_appid=APPID)))
    publish(connection, "first")
    hub: Any = Hub(connection)
    flow = Flow(hub, QUEUE, "text", APPID, cap=9)
    connection.drain_events(timeout=5)
    (first,) = hub.fetched
    publish(connection, "second", "third")
    # a fetch goes out, and its messages are off the queue before anybody reads the answer
    connection.transport.cycle.on_poll_start()
    eventually(lambda: not queued(store, QUEUE), "the others are on their way")
    flow.given_back(first, "minute", 2.0, APPID)

    give_up_at = time.monotonic() + 10
    while len(queued(store, QUEUE)) < 3 and time.monotonic() < give_up_at:
        hub.time_passes()
        with contextlib.suppress(TimeoutError):
            connection.drain_events(timeout=0.1)
    assert queued(store, QUEUE) == ["first", "second", "third"]
    assert not unacknowledged(store)
    assert [message.headers["id"] for message in hub.fetched] == ["first"]
