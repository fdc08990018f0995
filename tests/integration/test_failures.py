"""An application with the client catches every failure of its tree, at the cost of the calls that are told.

Tests: wxcheck
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord

import wxcheck
from store.places.shard import SHARD
from tests.support.checks import (
    V2,
    cancel,
    failure_of,
    media_push,
    parked,
    picture,
    place_of,
    push,
    runs,
    send_media,
    send_text,
    time_comes,
    verdict_of,
    waiting,
    words,
)
from tests.support.processes import PATIENCE, eventually
from tests.support.system import APPID, System
from wechat.checks import MEDIA_PATH, TEXT_PATH

RID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}")

HOUR = 3600

#: the command line, as it was installed
WXCHECK = str(Path(sys.executable).parent / "wxcheck")


def waiting_picture(system: System, **options: Any) -> tuple[Any, str]:
    """A picture whose push never comes, parked; its result and its trace_id."""
    check = system.app.signature(wxcheck.CHECK_MEDIA, args=(picture("lost"),), queue=wxcheck.MEDIA_QUEUE)
    result = check.apply_async(**options)
    trace_id = waiting(result)
    parked(system, trace_id)
    return result, trace_id


def hide(system: System, item: str) -> Any:
    return system.app.signature("application.hide", args=(item,), queue="application")


def test_an_invalid_check_costs_no_call(system: System) -> None:
    for result in (send_text(system.app, ""), send_media(system.app, "cloud://x/y.jpg")):
        failure = failure_of(result)
        assert type(failure) is wxcheck.InvalidCheck
        assert failure.args == (failure.message,)
    assert system.sandbox_stats()["calls"] == {}


def test_a_version_2_check_that_waited_too_long_costs_no_call(system: System) -> None:
    headers = {wxcheck.SENT_AT_HEADER: time.time() - 2 * HOUR}
    for name, kwargs in (
        (wxcheck.CHECK_TEXT, {"content": words(), **V2}),
        (wxcheck.CHECK_MEDIA, {"media_url": picture(), **V2}),
    ):
        queue = wxcheck.TEXT_QUEUE if name == wxcheck.CHECK_TEXT else wxcheck.MEDIA_QUEUE
        failure = failure_of(system.app.send_task(name, kwargs=kwargs, queue=queue, headers=headers))
        assert type(failure) is wxcheck.StaleCheck
        assert failure.args == (failure.age, 6600)
        assert 2 * HOUR <= failure.age < 2 * HOUR + PATIENCE
    assert system.sandbox_stats()["calls"] == {}


def test_a_version_1_check_has_no_user_who_could_have_gone(system: System) -> None:
    headers = {wxcheck.SENT_AT_HEADER: time.time() - 2 * HOUR}
    result = system.app.send_task(
        wxcheck.CHECK_TEXT, kwargs={"content": words()}, queue=wxcheck.TEXT_QUEUE, headers=headers
    )
    assert verdict_of(result)["suggest"] == "pass"


@pytest.mark.parametrize("kind", ["text", "media"])
def test_a_version_2_check_in_a_closed_lane_learns_in_time_that_it_is_stale(tmp_path: Path, kind: str) -> None:
    """Its lane may be closed until midnight; a version 1 check goes on waiting."""
    system = System(tmp_path, MAX_AGE="5")
    send, content = (send_text, words) if kind == "text" else (send_media, picture)
    try:
        system.sandbox()
        system.worker()
        system.close_lane(kind)
        result, waits = send(system.app, content(), **V2), send(system.app, content())
        failure = failure_of(result)
        assert type(failure) is wxcheck.StaleCheck
        assert 5 <= failure.age < 30
        assert place_of(system, waits.id) == "lane"
        assert system.sandbox_stats()["calls"] == {}
        _, quota, ring, *_ = SHARD.of_lane("text" if kind == "text" else "media", APPID)
        assert (system.redis.hget(quota, "used") or "0", system.redis.exists(ring)) == ("0", 0), "no permit is spent"
        system.open_lanes()
        eventually(lambda: place_of(system, waits.id) != "lane", "the other one is sent")
    finally:
        system.close()


def test_a_signature_of_the_client_that_waited_too_long_is_stale(system: System) -> None:
    check = wxcheck.check_text(words(), openid="o" * 28, scene=1)
    check.set(headers={wxcheck.SENT_AT_HEADER: time.time() - 2 * HOUR})
    check._app = system.app
    assert type(failure_of(check.apply_async())) is wxcheck.StaleCheck


@pytest.mark.parametrize(
    ("send", "content", "path"), [(send_text, words, TEXT_PATH), (send_media, picture, MEDIA_PATH)]
)
def test_a_refused_check_tells_code_message_and_rid_and_costs_one_call(
    system: System, send: Any, content: Any, path: str
) -> None:
    failure = failure_of(send(system.app, content("87020")))
    assert type(failure) is wxcheck.CheckRefused
    assert failure.args == (87020, failure.errmsg, failure.rid)
    assert failure.errmsg.startswith("media is checked too often")
    assert RID.fullmatch(failure.rid or "")
    assert str(failure.rid) in failure.errmsg
    assert system.calls(path) == 1


def test_a_text_whose_retries_are_used_up_tells_the_last_code(system: System) -> None:
    failure = failure_of(send_text(system.app, words("-1")))
    assert type(failure) is wxcheck.PlatformUnavailable
    assert failure.args == (-1,)
    assert system.calls(TEXT_PATH) == 5


def test_a_media_check_is_retried_as_often_where_the_platform_did_not_take_it(system: System) -> None:
    failure = failure_of(send_media(system.app, picture("-1")))
    assert (type(failure), failure.args) == (wxcheck.PlatformUnavailable, (-1,))
    assert system.calls(MEDIA_PATH) == 5


@pytest.mark.parametrize(("error", "errcode"), [("unfetchable", -1008), ("error=-1009", -1009), ("error=43104", 43104)])
@pytest.mark.parametrize("user", [{}, V2], ids=["version 1", "version 2"])
def test_a_file_that_could_not_be_judged_tells_the_pushs_code(
    system: System, error: str, errcode: int, user: dict[str, Any]
) -> None:
    failure = failure_of(send_media(system.app, picture(error), **user))
    assert type(failure) is wxcheck.MediaUnavailable
    assert failure.args == (errcode, failure.errmsg)
    assert failure.errmsg
    assert system.calls(MEDIA_PATH) == 1


def test_checks_whose_push_never_comes_expire_once_however_many_workers_sweep(system: System) -> None:
    more = [system.worker(f"sweeping-{number}", "-c", "2") for number in range(2)]
    waits = [waiting_picture(system, link_error=hide(system, str(number))) for number in range(20)]
    time_comes(system, SHARD.key("parked"), *[result.id for result, _ in waits])
    for result, trace_id in waits:
        failure = failure_of(result)
        assert type(failure) is wxcheck.PushTimeout
        assert failure.args == (trace_id,)
    eventually(lambda: len(runs(system, "hide")) >= 20, "the errbacks run")
    eventually(lambda: system.counters().get("media_timeout") == 20, "every check is ended")
    counters = system.counters()
    assert (counters["push_missing"], counters["media_timeout"]) == (20, 20)
    assert not system.redis.exists(SHARD.key("parked"))
    assert system.calls(MEDIA_PATH) == 20
    for worker in more:
        assert worker.stop() == 0
    assert sorted(run["arguments"][1] for run in runs(system, "hide")) == sorted(str(number) for number in range(20))


def test_a_push_after_the_time_out_changes_nothing_and_is_counted(system: System) -> None:
    result, trace_id = waiting_picture(system)
    time_comes(system, SHARD.key("parked"), result.id)
    assert type(failure_of(result)) is wxcheck.PushTimeout
    eventually(lambda: system.counters().get("media_timeout"), "the check is ended")
    push(system, media_push(trace_id))
    eventually(lambda: system.counters().get("push_late") == 1, "the push is late")
    assert type(failure_of(system.app.AsyncResult(result.id))) is wxcheck.PushTimeout


def test_a_cancelled_check_fails_its_chain_and_a_later_push_is_orphaned(system: System) -> None:
    check = system.app.signature(wxcheck.CHECK_MEDIA, args=(picture("lost"),), queue=wxcheck.MEDIA_QUEUE)
    publish = system.app.signature("application.publish", queue="application")
    last = chain(check, publish).apply_async(link_error=hide(system, "photo"))
    result = last.parent
    trace_id = waiting(result)
    parked(system, trace_id)

    cancelling = system.run("cancel", [WXCHECK, "cancel", result.id, "--yes"])
    assert cancelling.process.wait(PATIENCE) == 0, cancelling.output
    assert f"{result.id} is cancelled." in cancelling.output

    failure = failure_of(result)
    assert (type(failure), failure.args) == (wxcheck.CheckCancelled, ())
    eventually(lambda: runs(system, "hide"), "the errback runs")
    eventually(lambda: system.counters().get("media_cancelled") == 1, "the check is ended")
    push(system, media_push(trace_id))
    eventually(lambda: system.counters().get("push_orphaned") == 1, "the push is orphaned")
    assert [run["name"] for run in runs(system)] == ["hide"]
    assert system.calls(MEDIA_PATH) == 1


def test_cancelling_what_does_not_wait_says_so(system: System) -> None:
    result = send_text(system.app, words())
    verdict_of(result)
    cancelling = system.run("cancel", [WXCHECK, "cancel", result.id, "--yes"])
    assert cancelling.process.wait(PATIENCE) == 2
    assert f"{result.id} does not wait: see wxcheck show" in cancelling.output
    assert "Traceback" not in cancelling.output


def test_a_check_that_is_cancelled_fails_its_chord(system: System) -> None:
    header = [
        system.app.signature(wxcheck.CHECK_MEDIA, args=(picture(directive),), queue=wxcheck.MEDIA_QUEUE)
        for directive in ("pass", "lost")
    ]
    album = system.app.signature("application.album", queue="application").on_error(hide(system, "album"))
    body = chord(header)(album)
    lost = body.parent.results[1]
    parked(system, waiting(lost))
    assert cancel(system, lost.id) == "parked"
    assert type(failure_of(lost)) is wxcheck.CheckCancelled
    eventually(lambda: body.state == "FAILURE", "the chord's body fails")
    eventually(lambda: runs(system, "hide"), "the errback runs")
    assert not runs(system, "album")
    assert cancel(system, lost.id) == "ended"


def test_a_waiting_check_that_celery_revokes_ends_as_cancelled_and_its_push_is_orphaned(system: System) -> None:
    result, trace_id = waiting_picture(system, link_error=hide(system, "photo"))
    system.app.control.revoke(result.id)
    assert type(failure_of(result)) is wxcheck.CheckCancelled
    eventually(lambda: runs(system, "hide"), "the errback runs")
    eventually(lambda: system.counters().get("media_cancelled") == 1, "the check is ended")
    push(system, media_push(trace_id))
    eventually(lambda: system.counters().get("push_orphaned") == 1, "the push is orphaned")


def test_a_check_that_celery_revokes_while_it_is_sent_ends_as_cancelled(system: System) -> None:
    result = send_media(system.app, picture("slow=2", "lost"))
    eventually(lambda: system.calls(MEDIA_PATH) == 1, "it is being sent")
    system.app.control.revoke(result.id)
    eventually(lambda: system.counters().get("media_cancelled") == 1, "it is ended")
    # until then Celery itself says REVOKED, as of every task that no worker is known to have begun
    assert type(failure_of(system.app.AsyncResult(result.id))) is wxcheck.CheckCancelled
