"""A check that is cancelled, or revoked, while it is being sent ends as cancelled, once, whatever its call brings.

Tests: tasks.check, worker.taking.hand
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery import chain
from celery.result import AsyncResult

import wxcheck
from store.places.shard import SHARD
from tests.support.checks import cancel, failure_of, kept, picture, runs, time_comes, verdict_of, words
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, eventually
from tests.support.relay import Relay
from tests.support.system import System
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
        assert cancel(system, result.id) == "hand", "it is noted"
    return result


def is_cancelled_once(system: System, result: AsyncResult) -> None:
    assert type(failure_of(result)) is wxcheck.CheckCancelled
    eventually(lambda: runs(system), "its errback runs")
    assert not system.redis.exists(*(SHARD.key(name) for name in ("messages", "hand", "shelf", "parked", "outbox")))
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
        eventually(lambda: kept(system, result.id).get("cancelled"), "a sweep has noted it")
    eventually(lambda: runs(system), "its errback runs")
    # until its end Celery itself says REVOKED, as of every task that no worker is known to have begun
    is_cancelled_once(system, system.app.AsyncResult(result.id))
    assert system.calls(path_of(kind)) == 1


@pytest.mark.parametrize("kind", ["text", "media"])
def test_a_check_that_was_cancelled_before_its_worker_died_is_not_sent_again(system: HeldBack, kind: str) -> None:
    """Nor does it wait for a permit."""
    with system.no_answer(path_of(kind)) as called:
        result = sent(system, check_of(system, kind, "pass"))
        assert called.wait(PATIENCE), "it is being sent"
        assert cancel(system, result.id) == "hand"
        system.close_lane(kind)
        # as if its worker were dead: another one may have it now
        time_comes(system, SHARD.key("hand"), result.id)
        is_cancelled_once(system, result)
    time.sleep(1)
    assert system.calls(path_of(kind)) == 1
    assert [run["name"] for run in runs(system)] == ["hide"], "its first run tells nothing"
    system.open_lanes()


def test_a_text_whose_call_brings_its_verdict_ends_with_that_although_it_was_cancelled(system: HeldBack) -> None:
    assert verdict_of(cancelled_while_sent(system, "text", "risky"))["suggest"] == "risky"
    eventually(lambda: [run["name"] for run in runs(system)] == ["publish"], "its follow-up runs")
