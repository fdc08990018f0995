"""Celery's ``revoke_by_stamped_headers`` ends a check as ``revoke`` does, wherever it waits.

Tests: worker.celery_parts.revocations
"""

from __future__ import annotations

import os
import uuid
from typing import Any

import pytest
from celery import chain
from celery.result import AsyncResult

import wxcheck
from store.places.shard import SHARD
from tests.support.checks import (
    failure_of,
    media_push,
    parked,
    picture,
    place_of,
    push,
    runs,
    time_comes,
    waiting,
    words,
)
from tests.support.processes import PATIENCE, eventually
from tests.support.queues import on_shelf
from tests.support.system import System
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
    time_comes(system, SHARD.key("shelf"), result.id)
    eventually(lambda: result.state == "REVOKED", "it is revoked")
    eventually(lambda: not system.redis.exists(SHARD.key("hand"), SHARD.key("messages")), "nothing is in hand")
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
    time_comes(system, SHARD.key("shelf"), result.id)
    eventually(lambda: result.state == "REVOKED", "it is revoked")
    assert system.calls(TEXT_PATH) == calls


@pytest.mark.parametrize("by", ["stamp", "id"])
def test_a_check_that_waits_for_a_permit_is_not_sent_when_its_stamp_is_revoked(system: System, by: str) -> None:
    system.close_lane("text")
    stamp = uuid.uuid4().hex
    result = stamped(system, "text", stamp)
    eventually(lambda: place_of(system, result.id) == "lane", "it waits in its lane")
    if by == "stamp":
        is_known(system, stamp=stamp)
    else:
        is_known(system, task_id=result.id)
    system.open_lanes()
    eventually(lambda: result.state == "REVOKED", "it is revoked")
    eventually(lambda: not system.redis.exists(SHARD.key("hand"), SHARD.key("messages")), "nothing is in hand")
    assert system.calls(TEXT_PATH) == 0
