"""A Redis without memory left takes nothing new, and all that it has goes on to its end, which makes room.

Tests: store.places.places, store.tokens.tokens, worker.intake.redis_inbox
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import chain

from config.names import UNACKED, UNACKED_INDEX
from store.places.forms import Ended, Held, LaneLimits, Message, Queue, Result
from store.places.places import Places
from store.places.vouching import vouch
from store.quota.clock import Watch
from tests.support.checks import picture as picture_url
from tests.support.checks import runs, waiting, words
from tests.support.places_world import picture, settled, text
from tests.support.processes import eventually
from tests.support.quota_world import INBOX, SHARD, embedded
from tests.support.system import APPID, System


@contextlib.contextmanager
def full(client: redis.Redis) -> Iterator[None]:
    client.config_set("maxmemory", 1)
    try:
        yield
    finally:
        client.config_set("maxmemory", 0)


@pytest.fixture(scope="module")
def server() -> Iterator[redis.Redis]:
    with embedded() as client:
        yield client


class Store:
    """The places of a store whose lanes are open, and which is Redis' clock's."""

    LIMITS = (LaneLimits("text", "wx1", 60_000, 1_000), LaneLimits("media", "wx1", 60_000, 1_000))

    def __init__(self, client: redis.Redis) -> None:
        client.flushdb()
        vouch(client, "wx1")
        self.redis = client
        self.places = Places(client, SHARD, Watch(), 10.0, inbox=INBOX)

    def held(self, *messages: Message) -> dict[str, Held]:
        self.places.file(messages)
        return self.take(len(messages))

    def take(self, number: int) -> dict[str, Held]:
        found: dict[str, Held] = {}
        room: dict[Queue, int] = {"text": 8, "media": 8, "push": 8}

        def takes() -> bool:
            found.update({held.id: held for held in self.places.take(room, self.LIMITS).held})
            return len(found) == number

        eventually(takes, "they are taken")
        return found


@pytest.fixture
def store(server: redis.Redis) -> Store:
    return Store(server)


def test_a_check_goes_all_its_way(store: Store) -> None:
    held = store.held(picture("a"), text("b"), text("c"))
    store.places.give_back(held["a"])
    with full(store.redis):
        held.update(store.take(1))
        assert store.places.park(held["a"], "trace-a", 60.0, settled(held["a"]), Result("shown", "{}", 60)) == "parked"
        (pushed,) = store.places.push([("wx1", "trace-a", "{}")])
        assert pushed.what == "matched"
        assert store.places.give_back(held["b"], at=time.time() + 60) == "shelf"
        assert store.places.cancel(["b"]) == ["shelf"]
        ended = Ended("done", [Result("result", "{}", 60)], [("application", "{}")], outbox="{}")
        assert store.places.finish(held["c"], ended, settled(held["c"])) == "ended"
        assert store.redis.mget("result") == ["{}"]
        assert store.redis.lrange("application", 0, -1) == ["{}"]
        rest = store.places.advance(held["c"].entry, "{ }", [Result("another", "{}", 60)], [("application", "{}")])
        assert rest is not None
        assert store.places.advance(rest) is not None
        assert {name: one.cause for name, one in store.take(2).items()} == {
            "a": {"ended": "done", "push": "{}"},
            "b": {"ended": "cancelled"},
        }


def test_what_waits_for_too_long_is_brought_on(store: Store) -> None:
    store.places.park(store.held(picture("a"))["a"], "trace-a", 0.0)
    with full(store.redis):
        eventually(lambda: store.places.bring_on() == {"parked": 1}, "its time-out is seen")


def test_its_own_inbox_is_filed_and_that_of_another_broker_waits_there(store: Store) -> None:
    store.redis.hset(INBOX[0], "tag", "message")
    store.redis.zadd(INBOX[1], {"tag": 1.0})
    with full(store.redis):
        assert store.places.file([text("a")], ["tag"]) == ["filed"]
        assert not store.redis.exists(*INBOX)
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            store.places.file([text("b")])
    assert store.redis.hkeys(SHARD.key("checks")) == ["a"]


def test_checks_that_were_sent_before_end_with_all_that_follows(tmp_path: Path) -> None:
    """The worker's token has gone, too, so a new one has to be kept."""
    system = System(tmp_path)
    try:
        system.sandbox("--option", "push_delay=[1,1]")
        system.endpoint()
        worker = system.worker()
        app: Any = system.app

        def sent(kind: str, args: str) -> Any:
            follow_up = app.signature("application.publish", kwargs={"item": kind}, queue="application")
            check = app.signature(f"wxcheck.check_{kind}", args=(args,), queue=f"wxcheck.{kind}")
            return chain(check, follow_up).apply_async()

        # kombu declares the queue of what follows
        first = sent("text", words())
        assert first.parent.get(timeout=60)["suggest"] == "pass"
        late = sent("media", picture_url("delay=8"))
        waiting(late.parent)
        worker.process.send_signal(signal.SIGSTOP)
        text_result = sent("text", words())
        system.redis.delete(SHARD.of_lane("text", APPID)[-1])
        with full(system.redis):
            worker.process.send_signal(signal.SIGCONT)
            assert text_result.parent.get(timeout=60)["suggest"] == "pass"
            eventually(lambda: not system.redis.exists(UNACKED, UNACKED_INDEX), "nothing is left in the inbox")
        # the endpoint, which puts its push on the queue, could not before
        assert late.parent.get(timeout=60)["suggest"] == "pass"
        system.application()
        assert len([result.get(timeout=60) for result in (first, text_result, late)]) == 3
        eventually(lambda: len(runs(system, "publish")) == 3, "what follows runs once")
    finally:
        system.close()
