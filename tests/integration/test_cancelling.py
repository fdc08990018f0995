"""A check that is cancelled, or revoked, while it is being sent ends as cancelled, once, whatever its call brings.

Tests: tasks.check
"""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest
from celery import chain
from celery.result import AsyncResult

import wxcheck
from config.names import CANCEL, PUSH_QUEUE
from store import keys
from store.records.digest import digest_of
from tests.support.checks import failure_of, picture, runs, verdict_of, words
from tests.support.processes import eventually
from tests.support.queues import taken_out, unacknowledged
from tests.support.system import APPID, System
from wechat.checks import MEDIA_PATH, TEXT_PATH


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


def cancelled_while_sent(system: System, kind: str, *directives: str) -> AsyncResult:
    """A check whose call takes two seconds, and which is cancelled meanwhile."""
    result = sent(system, check_of(system, kind, "slow=2", *directives))
    eventually(lambda: system.calls(path_of(kind)) == 1, "it is being sent")
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
def test_a_check_that_is_cancelled_while_it_is_sent_is_not_retried(system: System, kind: str) -> None:
    is_cancelled_once(system, cancelled_while_sent(system, kind, "-1"))
    assert system.calls(path_of(kind)) == 1


@pytest.mark.parametrize("kind", ["text", "media"])
def test_a_check_that_is_cancelled_while_it_is_sent_does_not_wait_for_its_closed_lane(
    system: System, kind: str
) -> None:
    is_cancelled_once(system, cancelled_while_sent(system, kind, "45009"))
    assert system.calls(path_of(kind)) == 1
    system.open_lanes()


@pytest.mark.parametrize("kind", ["text", "media"])
def test_a_check_that_is_revoked_while_it_is_sent_is_not_retried(system: System, kind: str) -> None:
    result = sent(system, check_of(system, kind, "slow=2", "-1"))
    eventually(lambda: system.calls(path_of(kind)) == 1, "it is being sent")
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


def test_a_text_whose_call_brings_its_verdict_ends_with_that_although_it_was_cancelled(system: System) -> None:
    assert verdict_of(cancelled_while_sent(system, "text", "risky"))["suggest"] == "risky"
    eventually(lambda: [run["name"] for run in runs(system)] == ["publish"], "its follow-up runs")
