"""Each push ends its check once, whatever its shape, its mode and the moment it comes.

Tests: tasks.media, tasks.check, worker.intake.intake
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import chain

import wxcheck
from config.names import MAX_ERRMSG
from sandbox.messages import Format
from store.places.shard import SHARD
from tests.support.checks import (
    V2,
    failure_of,
    media_push,
    parked,
    picture,
    push,
    runs,
    send_media,
    time_comes,
    verdict_of,
    waiting,
)
from tests.support.processes import eventually
from tests.support.system import APPID, OTHER_APPID, System
from wechat.checks import MEDIA_PATH


def lost(system: System, **arguments: Any) -> tuple[Any, str]:
    """A picture that the sandbox never pushes a verdict of, parked; its result and its trace_id."""
    result = send_media(system.app, picture("lost"), **arguments)
    trace_id = waiting(result)
    parked(system, trace_id, arguments.get("appid", APPID))
    return result, trace_id


def counted(system: System, event: str, times: int = 1) -> None:
    eventually(lambda: system.counters().get(event) == times, f"{event} is counted {times} times")


def published_chain(system: System, url: str) -> tuple[Any, Any]:
    """A check and a follow-up; the results of both."""
    check = system.app.signature(wxcheck.CHECK_MEDIA, args=(url,), queue=wxcheck.MEDIA_QUEUE)
    last = chain(check, system.app.signature("application.publish", queue="application")).apply_async()
    return last.parent, last


def test_a_check_that_waits_is_not_sent_again_when_its_message_is_delivered_again(system: System) -> None:
    check = system.app.signature(wxcheck.CHECK_MEDIA, args=(picture("lost"),), queue=wxcheck.MEDIA_QUEUE)
    follow_up = system.app.signature("application.publish", queue="application")
    result = check.clone().apply_async(link=follow_up)
    trace_id = waiting(result)
    parked(system, trace_id)
    check.clone().apply_async(task_id=result.id, link=follow_up)
    log = system.directory / "worker.log"
    eventually(lambda: f"check_repeated task_id={result.id}" in log.read_text(), "it is known")
    push(system, media_push(trace_id))
    assert verdict_of(result)["suggest"] == "pass"
    eventually(lambda: runs(system), "the follow-up runs")
    assert system.calls(MEDIA_PATH) == 1
    assert len(runs(system)) == 1


def test_a_push_that_comes_before_its_trace_id_is_stored_is_kept_for_its_check(system: System) -> None:
    check, last = published_chain(system, picture("early", "slow=3", "risky"))
    assert verdict_of(last)["shown"] is False
    verdict = verdict_of(check)
    assert verdict["suggest"] == "risky"
    counted(system, "media_done")
    counters = system.counters()
    assert counters["push_early"] == 1
    assert "push_matched" not in counters
    assert not system.redis.exists(SHARD.key("parked"), SHARD.key("early"), SHARD.key("early_due"))


def test_a_push_that_comes_again_runs_the_follow_up_once(system: System) -> None:
    _, last = published_chain(system, picture("repeat=4"))
    assert verdict_of(last)["shown"] is True
    counted(system, "push_repeated", 3)
    counted(system, "media_done")
    assert system.counters()["push_matched"] == 1
    assert len(runs(system, "publish")) == 1


def test_of_two_pushes_that_differ_the_first_counts(system: System) -> None:
    result, trace_id = lost(system)
    push(system, media_push(trace_id, result={"suggest": "risky", "label": 20002}))
    counted(system, "push_matched")
    push(system, media_push(trace_id))
    counted(system, "push_repeated")
    verdict = verdict_of(result)
    assert (verdict["suggest"], verdict["label"]) == ("risky", 20002)
    assert verdict_of(system.app.AsyncResult(result.id)) == verdict


def test_a_push_for_an_unknown_trace_id_is_kept_for_a_while_and_then_orphaned(system: System) -> None:
    push(system, media_push("ffffffff-00000000-00000000"))
    trace = f"{APPID}:ffffffff-00000000-00000000"
    eventually(lambda: system.redis.hexists(SHARD.key("early"), trace), "the push is kept")
    assert "push_orphaned" not in system.counters()
    time_comes(system, SHARD.key("early_due"), trace)
    counted(system, "push_orphaned")
    assert not system.redis.exists(SHARD.key("early"), SHARD.key("early_due"))


def test_the_push_of_another_mini_program_ends_its_own_check_only(system: System) -> None:
    mine, trace_id = lost(system)
    push(system, media_push(trace_id, OTHER_APPID))
    trace = f"{OTHER_APPID}:{trace_id}"
    eventually(lambda: system.redis.hexists(SHARD.key("early"), trace), "the push is kept for the other appId")
    assert mine.state == wxcheck.WAITING

    theirs, trace_id = lost(system, appid=OTHER_APPID)
    push(system, media_push(trace_id, OTHER_APPID))
    assert verdict_of(theirs)["appid"] == OTHER_APPID
    assert mine.state == wxcheck.WAITING


def test_the_sandbox_pushes_each_mini_programs_verdicts_to_its_own_path(system: System) -> None:
    verdict = verdict_of(send_media(system.app, picture("risky"), "audio", appid=OTHER_APPID, **V2))
    assert (verdict["appid"], verdict["suggest"], verdict["kind"]) == (OTHER_APPID, "risky", "audio")


def test_many_pushes_at_once_for_one_check_end_it_once(system: System) -> None:
    check, last = published_chain(system, picture("lost"))
    trace_id = waiting(check)
    parked(system, trace_id)
    threads = [threading.Thread(target=push, args=(system, media_push(trace_id))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted(system, "push_repeated", 7)
    assert verdict_of(last)["shown"] is True
    assert (system.counters()["push_matched"], len(runs(system, "publish"))) == (1, 1)


SHAPES: list[tuple[str, dict[str, Any], str | None]] = [
    ("numbers as strings", {"version": "2", "errcode": "0", "result": {"suggest": "risky", "label": "20001"}}, "risky"),
    ("no result", {"result": None}, None),
    ("an empty result", {"result": {}}, None),
    ("a result without suggest", {"result": {"label": 100}}, None),
    ("a suggest that is new", {"result": {"suggest": "fine", "label": 100}}, None),
    ("no errcode", {"errcode": None}, None),
    ("an errcode beside a pass", {"errcode": -1008}, None),
    ("a detail that failed", {"detail": [{"errcode": -1, "suggest": "risky"}]}, "pass"),
    ("version 1: pass", {"version": None, "result": None, "errcode": None, "isrisky": 0, "status_code": 0}, "pass"),
    ("version 1: risky", {"version": None, "result": None, "errcode": None, "isrisky": 1, "status_code": 0}, "risky"),
    (
        "version 1: strings",
        {"version": None, "result": None, "errcode": None, "isrisky": "1", "status_code": "0"},
        "risky",
    ),
    (
        "version 1: a status",
        {"version": None, "result": None, "errcode": None, "isrisky": 0, "status_code": 4294966288},
        None,
    ),
    (
        "version 1: a status as a string",
        {"version": None, "result": None, "errcode": None, "isrisky": "0", "status_code": "4294966288"},
        None,
    ),
    ("version 1: no status", {"version": None, "result": None, "errcode": None, "isrisky": 0}, None),
    ("version 1: no isrisky", {"version": 1, "result": None, "errcode": None, "status_code": 0}, None),
    (
        "version 1: isrisky 2",
        {"version": None, "result": None, "errcode": None, "isrisky": 2, "status_code": 0},
        None,
    ),
]


@pytest.mark.parametrize("form", ["json", "xml"])
@pytest.mark.parametrize(("changes", "suggest"), [shape[1:] for shape in SHAPES], ids=[shape[0] for shape in SHAPES])
def test_what_a_push_says_is_a_verdict_or_a_failure_but_never_a_pass_by_default(
    system: System, form: Any, changes: dict[str, Any], suggest: str | None
) -> None:
    result, trace_id = lost(system)
    push(system, media_push(trace_id, **changes), form=form)
    if suggest is None:
        assert type(failure_of(result)) is wxcheck.MediaUnavailable
    else:
        assert verdict_of(result)["suggest"] == suggest


def test_a_status_code_that_is_unsigned_is_told_as_the_code_it_means(system: System) -> None:
    result, trace_id = lost(system)
    push(system, media_push(trace_id, version=None, result=None, errcode=None, isrisky=0, status_code=4294966288))
    assert failure_of(result).args[0] == -1008


@pytest.mark.parametrize("form", ["json", "xml"])
@pytest.mark.parametrize("details", [0, 1, 3])
def test_the_details_of_a_push_are_in_the_verdict_but_do_not_decide(system: System, form: str, details: int) -> None:
    system.tell_sandbox(push_format=form)
    verdict = verdict_of(send_media(system.app, picture("risky", f"details={details}"), **V2))
    assert (verdict["suggest"], verdict["label"]) == ("risky", 20002)
    assert [int(entry["errcode"]) for entry in verdict["detail"]] == [0, -1, -1][:details]


@pytest.fixture(scope="module")
def plain_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system whose endpoint takes plain pushes too, as it must while the mode of message push changes."""
    system = System(tmp_path_factory.mktemp("plain"), PUSH_PLAIN_ALLOWED="true")
    try:
        system.sandbox()
        system.endpoint()
        system.worker("worker", "-c", "4")
        yield system
    finally:
        system.close()


@pytest.mark.parametrize("form", ["json", "xml"])
@pytest.mark.parametrize("mode", ["plain", "compatible", "secure"])
def test_pushes_in_every_mode_and_format_end_their_checks(plain_system: System, mode: str, form: str) -> None:
    plain_system.tell_sandbox(push_mode=mode, push_format=form, push_delay=[0, 0])
    old = send_media(plain_system.app, picture("risky"))
    new = send_media(plain_system.app, picture("review"), **V2)
    failed = send_media(plain_system.app, picture("unfetchable"))
    assert verdict_of(old)["suggest"] == "risky"
    assert verdict_of(new)["suggest"] == "review"
    assert failure_of(failed).args[0] == -1008


def test_a_plain_push_is_refused_where_a_key_is_set_and_its_check_goes_on_waiting(system: System) -> None:
    system.tell_sandbox(push_mode="plain", push_delay=[0, 0], push_attempts=1)
    result = send_media(system.app, picture())
    eventually(lambda: system.sandbox_stats()["pushes"]["answers"] == {"403": 1}, "the push is refused")
    parked(system, waiting(result))


@pytest.mark.parametrize("form", ["json", "xml"])
@pytest.mark.parametrize("suggest", ["pass", "risky"])
def test_a_push_without_an_errcode_is_the_verdict_that_its_details_agree_with(
    system: System, suggest: str, form: Format
) -> None:
    result, trace_id = lost(system, **V2)
    says = {"suggest": suggest, "label": "100" if suggest == "pass" else "20002"}
    push(system, media_push(trace_id, errcode=None, result=says, detail=[{"errcode": 0, **says}]), form=form)
    verdict = verdict_of(result)
    assert (verdict["suggest"], verdict["label"]) == (suggest, int(says["label"]))
    assert [entry["suggest"] for entry in verdict["detail"]] == [suggest]


def test_a_push_without_an_errcode_whose_detail_is_risky_is_no_pass(system: System) -> None:
    result, trace_id = lost(system, **V2)
    push(system, media_push(trace_id, errcode=None, detail={"errcode": 0, "suggest": "risky", "label": 20002}))
    assert isinstance(failure_of(result), wxcheck.MediaUnavailable)


def test_a_long_errmsg_of_a_push_is_cut_everywhere(system: System) -> None:
    result, trace_id = lost(system, **V2)
    push(system, media_push(trace_id, errcode=-1008, errmsg="x" * 400_000, result=None))
    failure = failure_of(result)
    assert failure.args == (-1008, "x" * MAX_ERRMSG)
    assert len(system.redis.get(f"celery-task-meta-{result.id}") or "") < 5000
    letter = next(key for key in system.redis.scan_iter("wxcheck:dead*") if result.id in str(dumped(system, key)))
    assert "x" * (MAX_ERRMSG + 1) not in str(dumped(system, letter))
    assert not [running.name for running in system.started if "x" * (MAX_ERRMSG + 1) in running.output]


def dumped(system: System, key: str) -> Any:
    """All that is kept under ``key``, whatever its kind."""
    read: dict[str, Callable[[str], Any]] = {
        "hash": system.redis.hgetall,
        "string": system.redis.get,
        "zset": lambda key: system.redis.zrange(key, 0, -1),
    }
    return read[str(system.redis.type(key))](key)
