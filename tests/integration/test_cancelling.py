"""A check that is cancelled, or revoked, while it is being sent ends as cancelled, once, whatever its call brings.

Tests: tasks.check
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery import chain
from celery.result import AsyncResult

import wxcheck
from config.names import CANCEL, PUSH_QUEUE
from store import keys
from store.records.digest import digest_of
from tests.support.checks import failure_of, picture, runs, verdict_of, words
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, eventually
from tests.support.queues import taken_out, unacknowledged
from tests.support.relay import Relay
from tests.support.system import APPID, System
from wechat.checks import MEDIA_PATH, TEXT_PATH


class HeldBack(System):
    """A system whose worker calls the platform by a relay, and waits long for its answers."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, API_TIMEOUT="30")
        self.relay = self._stack.enter_context(Relay(free_port(), int(self.sandbox_url.rsplit(":", 1)[1])))

    @contextmanager
    def no_answer(self, path: str) -> Iterator[threading.Event]:
        """Within it no call of ``path`` is answered; the event: one was made."""
        called, goes_on = threading.Event(), threading.Event()

        def calls(data: bytes) -> bool:
            # a question about the quota names the path too
            if f"POST {path}?".encode() in data:
                called.set()
            return True

        def is_answered(_: bytes) -> bool:
            if called.is_set():
                goes_on.wait(PATIENCE)
            return True

        self.relay.before, self.relay.after = calls, is_answered
        try:
            yield called
        finally:
            goes_on.set()


@pytest.fixture(scope="module")
def at_work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HeldBack]:
    system = HeldBack(tmp_path_factory.mktemp("cancelling"))
    try:
        system.sandbox()
        system.worker(WXCHECK_API_BASE=f"http://127.0.0.1:{system.relay.port}")
        system.application()
        yield system
    finally:
        system.close()


@pytest.fixture
def system(at_work: HeldBack) -> HeldBack:
    at_work.reset_sandbox()
    at_work.forget()
    at_work.redis.delete("application:runs")
    return at_work


def check_of(system: System, kind: str, *directives: str) -> Any:
    if kind == "text":
        return system.app.signature(wxcheck.CHECK_TEXT, args=(words(*directives),), queue=wxcheck.TEXT_QUEUE)
    return system.app.signature(wxcheck.CHECK_MEDIA, args=(picture(*directives),), queue=wxcheck.MEDIA_QUEUE)


def path_of(kind: str) -> str:
    return TEXT_PATH if kind == "text" else MEDIA_PATH


def sent(system: System, check: Any, **options: Any) -> AsyncResult:
    """Enqueues ``check`` with a follow-up and an errback."""
    publish = system.app.signature("application.publish", kwargs={"item": "a"}, queue="application")
    hide = system.app.signature("application.hide", kwargs={"item": "a"}, queue="application")
    result: AsyncResult = chain(check, publish).apply_async(link_error=hide, **options).parent
    return result


def cancelled_while_sent(system: HeldBack, kind: str, *directives: str) -> AsyncResult:
    """A check that is cancelled before its call is answered."""
    with system.no_answer(path_of(kind)) as called:
        result = sent(system, check_of(system, kind, *directives))
        assert called.wait(PATIENCE), "it is being sent"
        cancel = system.app.send_task(CANCEL, kwargs={"task_id": result.id}, queue=PUSH_QUEUE)
        assert verdict_of(cancel) is False  # it does not wait for its push yet
        assert system.redis.hget(keys.record(result.id), "cancelled") == "1"
    return result


def is_cancelled_once(system: System, result: AsyncResult) -> None:
    assert type(failure_of(result)) is wxcheck.CheckCancelled
    eventually(lambda: runs(system), "its errback runs")
    eventually(lambda: not unacknowledged(system.redis), "nothing is in hand")
    assert not system.redis.exists(keys.SHELF, keys.DUE)
    time.sleep(1)
    assert [run["name"] for run in runs(system)] == ["hide"]


@pytest.mark.parametrize("kind", ["text", "media"])
def test_a_check_that_is_cancelled_while_it_is_sent_is_not_retried(system: HeldBack, kind: str) -> None:
    is_cancelled_once(system, cancelled_while_sent(system, kind, "-1"))
    assert system.calls(path_of(kind)) == 1


@pytest.mark.parametrize("kind", ["text", "media"])
def test_a_check_that_is_cancelled_while_it_is_sent_does_not_wait_for_its_closed_lane(
    system: HeldBack, kind: str
) -> None:
    is_cancelled_once(system, cancelled_while_sent(system, kind, "45009"))
    assert system.calls(path_of(kind)) == 1
    system.open_lanes()


@pytest.mark.parametrize("kind", ["text", "media"])
def test_a_check_that_is_revoked_while_it_is_sent_is_not_retried(system: HeldBack, kind: str) -> None:
    with system.no_answer(path_of(kind)) as called:
        result = sent(system, check_of(system, kind, "-1"))
        assert called.wait(PATIENCE), "it is being sent"
        system.app.control.revoke(result.id)
        cancelled = keys.record(result.id)
        eventually(lambda: system.redis.hget(cancelled, "cancelled") == "1", "a sweep has noted it")
    eventually(lambda: runs(system), "its errback runs")
    # until its end Celery itself says REVOKED, as of every task that no worker is known to have begun
    is_cancelled_once(system, system.app.AsyncResult(result.id))
    assert system.calls(path_of(kind)) == 1


def redelivered(system: System, kind: str, task_id: str) -> AsyncResult:
    """The message of a check comes again that was cancelled while its worker sent it, which was killed."""
    elsewhere = f"elsewhere-{uuid.uuid4().hex}"
    result = sent(
        system, check_of(system, kind, "lost" if kind == "media" else "pass").set(queue=elsewhere, task_id=task_id)
    )
    message = taken_out(system.redis, elsewhere)
    args, kwargs, _ = json.loads(message["body"])
    record: dict[Any, Any] = {"state": "sending", "run": "killed", "lease": time.time() - 1, "begun": time.time()}
    record |= {"cancelled": 1, "of": digest_of(message["headers"]["task"], args, kwargs)}
    system.redis.hset(keys.record(task_id), mapping=record)
    queue = wxcheck.TEXT_QUEUE if kind == "text" else wxcheck.MEDIA_QUEUE
    message["properties"]["delivery_info"].update(routing_key=queue, redelivered=True)
    system.redis.lpush(queue, json.dumps(message))
    return result


@pytest.mark.parametrize("kind", ["text", "media"])
def test_a_check_that_was_cancelled_before_its_worker_died_is_not_sent_again(system: System, kind: str) -> None:
    """Nor does it wait for a permit."""
    until = str(int((time.time() + 3600) * 1e6))
    system.redis.hset(keys.quota(APPID, kind), mapping={"closed_until": until, "why": "day"})
    is_cancelled_once(system, redelivered(system, kind, str(uuid.uuid4())))
    assert system.calls(path_of(kind)) == 0
    system.open_lanes()


def test_a_text_whose_call_brings_its_verdict_ends_with_that_although_it_was_cancelled(system: HeldBack) -> None:
    assert verdict_of(cancelled_while_sent(system, "text", "risky"))["suggest"] == "risky"
    eventually(lambda: [run["name"] for run in runs(system)] == ["publish"], "its follow-up runs")
