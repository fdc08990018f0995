"""Celery's ``revoke_by_stamped_headers`` ends a check as ``revoke`` does, wherever it waits.

Tests: worker.celery_parts.revocations
"""

from __future__ import annotations

import os
import time
import uuid
from typing import Any

import pytest
from celery import chain
from celery.result import AsyncResult

import wxcheck
from store import keys
from store.parked.parked import Parking
from store.watch.statistics import Statistics
from tests.support.checks import failure_of, media_push, parked, picture, push, runs, time_comes, waiting, words
from tests.support.processes import PATIENCE, eventually
from tests.support.queues import on_shelf, unacknowledged
from tests.support.system import APPID, System
from wechat.checks import MEDIA_PATH, TEXT_PATH


def stamped(system: System, kind: str, stamp: str, *directives: str, **options: Any) -> AsyncResult:
    """A check of a user's, who is its stamp, with an errback."""
    if kind == "text":
        check = system.app.signature(wxcheck.CHECK_TEXT, args=(words(*directives),), queue=wxcheck.TEXT_QUEUE)
    else:
        check = system.app.signature(wxcheck.CHECK_MEDIA, args=(picture(*directives),), queue=wxcheck.MEDIA_QUEUE)
    check.stamp(user=stamp)
    publish = system.app.signature("application.publish", queue="application")
    hide = system.app.signature("application.hide", kwargs={"item": stamp}, queue="application")
    result: AsyncResult = chain(check, publish).apply_async(link_error=hide, **options).parent
    return result


def revoke(system: System, stamp: str) -> None:
    system.app.control.revoke_by_stamped_headers({"user": [stamp]})


def is_known(system: System, *, stamp: str = "", task_id: str = "") -> None:
    """Revokes, and waits until the worker has it."""
    # who waits for one answer does not wait for more
    options: dict[str, Any] = {"reply": True, "timeout": PATIENCE, "destination": [f"worker@{os.uname().nodename}"]}
    if stamp:
        assert system.app.control.revoke_by_stamped_headers({"user": stamp}, **options)
    else:
        assert system.app.control.revoke(task_id, **options)


def test_a_check_that_waits_for_its_push_ends_as_cancelled_when_its_stamp_is_revoked(system: System) -> None:
    one, other = uuid.uuid4().hex, uuid.uuid4().hex
    result, spared = stamped(system, "media", one, "lost"), stamped(system, "media", other, "lost")
    trace_ids = [waiting(check) for check in (result, spared)]
    for trace_id in trace_ids:
        parked(system, trace_id)
    revoke(system, one)
    assert type(failure_of(result)) is wxcheck.CheckCancelled
    eventually(lambda: [run["arguments"][-1] for run in runs(system)] == [one], "its errback runs")
    eventually(lambda: system.counters().get("media_cancelled") == 1, "it is ended")
    push(system, media_push(trace_ids[0]))
    eventually(lambda: system.counters().get("push_orphaned") == 1, "its push is orphaned")
    assert spared.state == wxcheck.WAITING


def test_a_check_whose_finish_is_on_its_way_when_its_stamp_is_revoked_ends_as_cancelled(system: System) -> None:
    stamp = uuid.uuid4().hex
    result = stamped(system, "media", stamp, "lost")
    trace_id = waiting(result)
    parked(system, trace_id)
    # as where another broker has the queues: whoever brings the push would publish the finish, and dies before it
    check = keys.check(f"{APPID}:{trace_id}")
    system.redis.hset(check, "kept", "rest")
    Parking(system.redis, 1860, 60, Statistics(system.redis)).match_push(APPID, {"trace_id": trace_id, "version": 2})
    system.redis.hset(check, "kept", "finish")
    is_known(system, stamp=stamp)
    time_comes(system, keys.DUE, f"{APPID}:{trace_id}")
    assert type(failure_of(result)) is wxcheck.CheckCancelled


def test_a_check_that_is_sent_when_its_stamp_is_revoked_ends_as_cancelled(system: System) -> None:
    stamp = uuid.uuid4().hex
    result = stamped(system, "media", stamp, "slow=2", "lost")
    eventually(lambda: system.calls(MEDIA_PATH) == 1, "it is being sent")
    revoke(system, stamp)
    assert type(failure_of(result)) is wxcheck.CheckCancelled


@pytest.mark.parametrize("by", ["stamp", "id"])
def test_a_check_on_the_shelf_is_not_sent_when_its_stamp_is_revoked(system: System, by: str) -> None:
    stamp = uuid.uuid4().hex
    result = stamped(system, "text", stamp, countdown=3600)
    eventually(lambda: on_shelf(system.redis, result.id) is not None, "it is on the shelf")
    if by == "stamp":
        is_known(system, stamp=stamp)
    else:
        is_known(system, task_id=result.id)
    time_comes(system, keys.SHELF, result.id)
    eventually(lambda: result.state == "REVOKED", "it is revoked")
    eventually(lambda: not unacknowledged(system.redis), "nothing is in hand")
    assert system.calls(TEXT_PATH) == 0


@pytest.mark.parametrize("by", ["stamp", "id"])
def test_a_check_that_waits_for_its_retry_is_not_sent_again_when_its_stamp_is_revoked(
    patient_system: System, by: str
) -> None:
    system = patient_system
    stamp = uuid.uuid4().hex
    result = stamped(system, "text", stamp, "-1")
    eventually(lambda: on_shelf(system.redis, result.id) is not None, "it is on the shelf, for long")
    calls = system.calls(TEXT_PATH)
    if by == "stamp":
        is_known(system, stamp=stamp)
    else:
        is_known(system, task_id=result.id)
    time_comes(system, keys.SHELF, result.id)
    eventually(lambda: result.state == "REVOKED", "it is revoked")
    assert system.calls(TEXT_PATH) == calls


@pytest.mark.parametrize("by", ["stamp", "id"])
def test_a_check_that_waits_for_a_permit_is_not_sent_when_its_stamp_is_revoked(system: System, by: str) -> None:
    until = str(int((time.time() + 3600) * 1e6))
    system.redis.hset(keys.quota(APPID, "text"), mapping={"closed_until": until, "why": "day"})
    stamp = uuid.uuid4().hex
    result = stamped(system, "text", stamp)
    queue = f"{wxcheck.TEXT_QUEUE}.{APPID}"
    eventually(lambda: system.redis.keys(f"{queue}*"), "it waits in the queue of its appId")
    if by == "stamp":
        is_known(system, stamp=stamp)
    else:
        is_known(system, task_id=result.id)
    system.open_lanes()
    eventually(lambda: result.state == "REVOKED", "it is revoked")
    eventually(lambda: not unacknowledged(system.redis), "nothing is in hand")
    assert system.calls(TEXT_PATH) == 0
