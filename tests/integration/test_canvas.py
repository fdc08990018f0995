"""Checks work in every place of a canvas, through real processes, from the client and by their names alone."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from celery import chain, chord, group
from celery.canvas import Signature
from celery.result import AsyncResult

import wxcheck
from tests.support.checks import media_push, push
from tests.support.processes import PATIENCE, eventually
from tests.support.system import APPID, System


def picture(*directives: str) -> str:
    """A URL of its own that tells the sandbox what to make of it."""
    return f"https://img.example.com/{uuid.uuid4().hex}.jpg?sandbox={','.join(directives or ('pass',))}"


def by_name(system: System, url: str | None, **options: Any) -> Signature:
    kwargs = {"media_type": "image"} if url is None else {"media_url": url, "media_type": "image"}
    return system.app.signature("wxcheck.check_media", kwargs=kwargs, queue="wxcheck.media", **options)


def by_client(system: System, url: str | None, **options: Any) -> Signature:
    signature = wxcheck.check_media(url) if url else wxcheck.check_media()
    signature._app = system.app
    return signature.set(**options) if options else signature


@pytest.fixture(params=[by_name, by_client], ids=["by name", "by the client"])
def check(request: pytest.FixtureRequest, system: System) -> Any:
    return lambda url, **options: request.param(system, url, **options)


def task(system: System, name: str, *args: Any, **options: Any) -> Signature:
    return system.app.signature(f"application.{name}", args=args, queue="application", **options)


def runs(system: System, name: str | None = None) -> list[dict[str, Any]]:
    every = [json.loads(run) for run in system.redis.lrange("application:runs", 0, -1)]
    return [run for run in every if name is None or run["name"] == name]


def result_of(result: AsyncResult) -> Any:
    return result.get(timeout=PATIENCE)


def test_a_check_alone_returns_its_verdict_under_the_id_of_the_call(system: System, check: Any) -> None:
    result = check(picture("risky")).apply_async()
    verdict = result_of(result)
    assert (verdict["kind"], verdict["suggest"], verdict["version"]) == ("image", "risky", 1)
    assert verdict["appid"] == APPID
    assert AsyncResult(result.id, app=system.app).get(timeout=PATIENCE) == verdict


def test_a_version_2_check_of_a_sound_returns_a_full_verdict(system: System) -> None:
    check = wxcheck.check_media(picture("risky", "label=20002"), "audio", openid="o" * 28, scene=3)
    check._app = system.app
    verdict = result_of(check.apply_async())
    assert (verdict["kind"], verdict["suggest"], verdict["label"]) == ("audio", "risky", 20002)
    assert verdict["version"] == 2
    assert isinstance(verdict["trace_id"], str)
    assert isinstance(verdict["detail"], list)


def test_a_check_at_the_head_of_a_chain_hands_its_verdict_to_the_next_task(system: System, check: Any) -> None:
    result = chain(check(picture()), task(system, "publish", "photo-1")).apply_async()
    assert result_of(result) == {"item": "photo-1", "shown": True}
    (run,) = runs(system)
    assert run["arguments"][0]["suggest"] == "pass"
    assert run["parent_id"] == result.parent.id


def test_a_check_in_the_middle_of_a_chain_takes_its_url_from_the_step_before(system: System, check: Any) -> None:
    url = picture("review", "label=20001")
    result = chain(task(system, "upload", url), check(None), task(system, "publish", 2)).apply_async()
    # version 1 knows no review: the platform says isrisky 0
    assert result_of(result)["item"] == 2
    assert [run["name"] for run in runs(system)] == ["upload", "publish"]


def test_a_check_at_the_end_of_a_chain_gives_the_chain_its_result(system: System, check: Any) -> None:
    result = chain(task(system, "upload", picture("risky")), check(None)).apply_async()
    assert result_of(result)["suggest"] == "risky"


def test_a_group_of_checks_returns_its_verdicts_in_order(system: System, check: Any) -> None:
    expected = ["pass", "risky", "pass", "risky"]
    result = group(check(picture(suggest)) for suggest in expected).apply_async()
    assert [verdict["suggest"] for verdict in result_of(result)] == expected


def test_a_chord_gets_its_verdicts_in_order_whatever_order_the_pushes_come_in(system: System, check: Any) -> None:
    header = [check(picture("risky", "delay=1")), check(picture("early")), check(picture("risky", "delay=0.1"))]
    result = chord(header)(task(system, "album", "album-1"))
    assert result_of(result) == ["risky", "pass", "risky"]
    assert len(runs(system, "album")) == 1


def test_chains_in_the_header_of_a_chord_are_finished_before_its_body_runs(system: System, check: Any) -> None:
    header = [chain(task(system, "upload", picture(suggest)), check(None)) for suggest in ("pass", "risky")]
    result = chord(header)(task(system, "album"))
    assert result_of(result) == ["pass", "risky"]


def test_a_chord_within_a_chain_goes_on_to_the_chains_next_task(system: System, check: Any) -> None:
    flow = chain(
        group(check(picture()), check(picture("risky"))), task(system, "album", 1), task(system, "upload").clone()
    )
    assert result_of(flow.apply_async()) == ["pass", "risky"]


def test_a_failed_check_fails_its_chord(system: System, check: Any) -> None:
    header = [check(picture()), check(picture("unfetchable"))]
    result = chord(header)(task(system, "album").on_error(task(system, "hide", "album")))
    with pytest.raises(Exception, match="-1008"):
        result_of(result)
    eventually(lambda: result.state == "FAILURE", "the body fails")
    eventually(lambda: runs(system, "hide"), "the errback of the body runs")
    assert not runs(system, "album")


def test_links_run_after_the_verdict(system: System, check: Any) -> None:
    result = check(picture()).apply_async(link=[task(system, "publish", "a"), task(system, "publish", "b")])
    assert result_of(result)["suggest"] == "pass"
    eventually(lambda: len(runs(system, "publish")) == 2, "both links run")
    assert {run["arguments"][1] for run in runs(system)} == {"a", "b"}


def test_an_errback_of_the_old_signature_runs_in_the_applications_worker(system: System, check: Any) -> None:
    flow = chain(check(picture("unfetchable")), task(system, "publish", 7))
    result = flow.apply_async(link_error=task(system, "hide", 7))
    with pytest.raises(Exception, match="-1008"):
        result_of(result.parent)
    eventually(lambda: runs(system, "hide"), "the errback runs")
    (run,) = runs(system)
    assert run["arguments"] == [result.parent.id, 7]


def test_an_errback_of_the_new_signature_runs_where_the_worker_knows_it(system: System, check: Any) -> None:
    result = check(picture("unfetchable")).apply_async(link_error=task(system, "explain"))
    eventually(lambda: runs(system, "explain"), "the errback runs")
    assert runs(system) == [{"name": "explain", "task_id": result.id, "arguments": ["MediaUnavailable"]}]


def test_a_task_may_replace_itself_with_a_check(system: System) -> None:
    flow = chain(task(system, "replaced", picture("risky")), task(system, "publish", 1))
    result = flow.apply_async()
    assert result_of(result) == {"item": 1, "shown": False}
    assert result_of(result.parent)["suggest"] == "risky"


def test_custom_headers_of_a_check_are_still_there_when_it_is_finished(system: System, check: Any) -> None:
    result = check(picture()).apply_async(headers={"x_tenant": "t-2"})
    result_of(result)
    eventually(lambda: runs(system, "succeeded"), "the worker says that the check succeeded")
    (run,) = runs(system)
    assert (run["task_id"], run["arguments"]) == (result.id, ["t-2"])


def test_stamps_of_a_check_reach_the_task_that_follows(system: System, check: Any) -> None:
    flow = chain(check(picture()), task(system, "publish"))
    flow.stamp(tenant="t-1")
    result_of(flow.apply_async())
    (run,) = runs(system)
    assert run["stamps"] == {"tenant": "t-1"}


def test_a_check_whose_result_is_ignored_still_runs_its_chain_and_stores_no_state(system: System, check: Any) -> None:
    flow = chain(check(picture(), ignore_result=True), task(system, "publish", 3))
    result = flow.apply_async()
    assert result_of(result)["item"] == 3
    assert system.redis.get(f"celery-task-meta-{result.parent.id}") is None


def test_a_waiting_check_shows_what_it_waits_for(system: System, check: Any) -> None:
    result = check(picture("lost")).apply_async()
    eventually(lambda: result.state == "WAITING", "the check waits")
    meta = result.info
    assert set(meta) == {"trace_id", "since", "deadline"}
    assert meta["deadline"] - meta["since"] == pytest.approx(1860)
    push(system, media_push(meta["trace_id"]))
    assert result_of(result)["trace_id"] == meta["trace_id"]


def test_the_same_url_may_be_checked_many_times_at_once(system: System, check: Any) -> None:
    url = picture("delay=0.3")
    results = [check(url).apply_async() for _ in range(10)]
    verdicts = [result_of(result) for result in results]
    assert len({verdict["trace_id"] for verdict in verdicts}) == 10


def test_a_text_in_a_chain_is_checked_at_once(system: System) -> None:
    text = system.app.signature("wxcheck.check_text", args=("sandbox:risky",), queue="wxcheck.text")
    result = chain(text, task(system, "publish", 9)).apply_async()
    assert result_of(result) == {"item": 9, "shown": False}
