"""Celery's own options of a check do what Celery says, wherever the check waits.

Tests: worker.intake.filing, worker.celery_parts.request, worker.messages
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import wxcheck
from tests.support.checks import ended, failure_of, picture, place_of, runs, verdict_of, waiting, words
from tests.support.processes import eventually
from tests.support.queues import on_shelf
from tests.support.system import System
from wechat.checks import MEDIA_PATH, TEXT_PATH


def text(system: System, *directives: str) -> Any:
    return system.app.signature(wxcheck.CHECK_TEXT, args=(words(*directives),), queue=wxcheck.TEXT_QUEUE)


def media(system: System, *directives: str) -> Any:
    return system.app.signature(wxcheck.CHECK_MEDIA, args=(picture(*directives),), queue=wxcheck.MEDIA_QUEUE)


def follow_up(system: System, name: str, item: str) -> Any:
    return system.app.signature(f"application.{name}", kwargs={"item": item}, queue="application")


@pytest.mark.parametrize("option", ["countdown", "eta"])
def test_a_check_with_a_countdown_is_sent_at_its_time(system: System, option: str) -> None:
    at = {"countdown": 2} if option == "countdown" else {"eta": datetime.now(UTC) + timedelta(seconds=2)}
    began = time.time()
    result = text(system, "risky").apply_async(**at)
    eventually(lambda: on_shelf(system.redis, result.id) is not None, "it is on the shelf")
    assert on_shelf(system.redis, result.id) == pytest.approx(began + 2, abs=1)
    assert verdict_of(result)["suggest"] == "risky"
    assert time.time() - began >= 2


@pytest.mark.parametrize("place", ["lane", "shelf"])
def test_a_check_that_expires_while_it_waits_is_revoked_in_time_and_costs_no_call(system: System, place: str) -> None:
    """As Celery's own: no errback runs."""
    if place == "lane":
        system.close_lane("text")
    options = {"countdown": 3600} if place == "shelf" else {}
    result = text(system).on_error(follow_up(system, "hide", "a")).apply_async(expires=2, **options)
    eventually(lambda: place_of(system, result.id) == place, "it waits")
    eventually(lambda: result.state == "REVOKED", "it expires", 30)
    eventually(lambda: place_of(system, result.id) == "ended", "its check has ended")
    assert system.calls(TEXT_PATH) == 0
    assert runs(system) == []
    system.open_lanes()


def test_a_check_in_time_does_not_expire(system: System) -> None:
    assert verdict_of(text(system, "risky").apply_async(expires=60))["suggest"] == "risky"
    # once WeChat has it, its verdict is waited for
    result = media(system, "lost").apply_async(expires=2)
    waiting(result)
    time.sleep(4)
    assert result.state == wxcheck.WAITING


@pytest.mark.parametrize("kind", ["text", "media"])
def test_a_check_that_waits_for_its_retry_is_shown_so(patient_system: System, kind: str) -> None:
    system = patient_system
    result = (text if kind == "text" else media)(system, "-1").apply_async()
    eventually(lambda: on_shelf(system.redis, result.id) is not None, "it is on the shelf, for long")
    assert result.state == "RETRY"
    assert isinstance(result.result, wxcheck.PlatformUnavailable)


def test_a_check_whose_result_is_ignored_leaves_none_and_is_followed_up(system: System) -> None:
    checks = [
        check.apply_async(ignore_result=True, link=follow_up(system, "publish", kind))
        for kind, check in (("text", text(system, "-1*1", "risky")), ("media", media(system, "-1*1", "risky")))
    ]
    eventually(lambda: len(runs(system, "publish")) == 2, "both are followed up")
    failing = text(system, "errcode=40003").apply_async(ignore_result=True, link_error=follow_up(system, "hide", "a"))
    eventually(lambda: runs(system, "hide"), "its errback runs")
    for result in (*checks, failing):
        assert not system.redis.exists(f"celery-task-meta-{result.id}")


@pytest.mark.parametrize("compression", ["gzip", "bzip2"])
def test_a_compressed_check_is_read_and_what_follows_is_compressed_as_asked(system: System, compression: str) -> None:
    check = text(system, "risky")
    check.link(follow_up(system, "publish", "a").set(compression=compression))
    assert verdict_of(check.apply_async(compression=compression))["suggest"] == "risky"
    eventually(lambda: runs(system, "publish"), "its follow-up runs")


def test_links_of_both_kinds_run_once_each(system: System) -> None:
    for check in (text(system), media(system)):
        check.link(follow_up(system, "publish", "one"))
        check.link(follow_up(system, "publish", "two"))
        check.on_error(follow_up(system, "hide", "one"))
        verdict_of(check.apply_async())
    eventually(lambda: len(runs(system)) == 4, "its follow-ups run")
    system.redis.delete("application:runs")
    for check in (text(system, "errcode=40003"), media(system, "unfetchable")):
        check.link(follow_up(system, "publish", "one"))
        check.on_error(follow_up(system, "hide", "one"))
        check.on_error(follow_up(system, "hide", "two"))
        failure_of(check.apply_async())
    eventually(lambda: len(runs(system, "hide")) == 4, "its errbacks run")
    time.sleep(0.5)
    assert len(runs(system)) == 4


def test_time_limits_end_no_check(system: System) -> None:
    """A call ends after API_TIMEOUT by itself; no thread can be ended from outside."""
    result = text(system, "slow=2", "risky").apply_async(soft_time_limit=1, time_limit=1)
    assert verdict_of(result)["suggest"] == "risky"
    assert system.calls(TEXT_PATH) == 1


def test_a_check_that_is_revoked_before_its_worker_has_it_is_revoked(system: System) -> None:
    system.close_lane("media")
    result = media(system).on_error(follow_up(system, "hide", "a")).apply_async()
    eventually(lambda: place_of(system, result.id) == "lane", "it waits")
    system.app.control.revoke(result.id)
    eventually(lambda: result.state == "REVOKED", "it is revoked, though its lane is closed")
    assert ended(result).state == "REVOKED"
    system.open_lanes()
    time.sleep(1)
    assert (system.calls(MEDIA_PATH), runs(system)) == (0, [])
