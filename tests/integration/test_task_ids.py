"""Each of two checks with one task id has its content checked, or fails and says why.

Tests: worker.intake.filing, worker.taking.hand, worker.messages
"""

from __future__ import annotations

import json
import sys
import uuid
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord

import wxcheck
from store import keys
from store.places.shard import SHARD
from tests.support.checks import (
    ended,
    failure_of,
    media_push,
    parked,
    picture,
    place_of,
    push,
    runs,
    time_comes,
    verdict_of,
    waiting,
    words,
)
from tests.support.processes import PATIENCE, eventually
from tests.support.queues import on_shelf, taken_out
from tests.support.system import System
from wechat.checks import MEDIA_PATH, TEXT_PATH
from worker.messages import digest_of


def text(system: System, content: str) -> Any:
    return system.app.signature(wxcheck.CHECK_TEXT, args=(content,), queue=wxcheck.TEXT_QUEUE)


def media(system: System, url: str) -> Any:
    return system.app.signature(wxcheck.CHECK_MEDIA, args=(url,), queue=wxcheck.MEDIA_QUEUE)


def sent(system: System, check: Any, task_id: str, item: str, **options: Any) -> Any:
    """Enqueues ``check`` by an id of the application's, with a follow-up and an errback that are known by ``item``."""
    publish = system.app.signature("application.publish", kwargs={"item": item}, queue="application")
    hide = system.app.signature("application.hide", kwargs={"item": item}, queue="application")
    last = chain(check.set(task_id=task_id), publish).apply_async(link_error=hide, **options)
    return last.parent


def told(system: System) -> list[tuple[str, Any]]:
    """The application's runs: which task ran, and for what."""
    return [(run["name"], run["arguments"][-1]) for run in runs(system)]


def nothing_is_in_hand(system: System) -> None:
    eventually(lambda: not system.redis.exists(SHARD.key("hand"), SHARD.key("ready:text")), "nothing is in hand")


def delivered_again(system: System, queue: str, message: dict[str, Any], *, redelivered: bool = True) -> None:
    """Puts a message on its queue as a broker does that has it from before."""
    raw = deepcopy(message)
    raw["properties"]["delivery_info"]["redelivered"] = redelivered
    # as another implementation writes the same arguments
    args, kwargs, embed = json.loads(raw["body"])
    raw["body"] = json.dumps([args, dict(reversed(kwargs.items())), embed], ensure_ascii=False, indent=1)
    system.redis.lpush(queue, json.dumps(raw))


@pytest.mark.parametrize("kind", ["text", "media"])
def test_a_second_check_with_other_content_is_checked_once_the_first_has_ended(system: System, kind: str) -> None:
    task_id = str(uuid.uuid4())
    check, content = (text, words) if kind == "text" else (media, picture)
    first = sent(system, check(system, content("pass")), task_id, "first")
    assert verdict_of(first)["suggest"] == "pass"
    eventually(lambda: told(system) == [("publish", "first")], "the first one's follow-up runs")
    sent(system, check(system, content("risky")), task_id, "second")
    eventually(lambda: ("publish", "second") in told(system), "the second one's follow-up runs")
    assert [run["arguments"][0]["suggest"] for run in runs(system, "publish")] == ["pass", "risky"]
    assert verdict_of(system.app.AsyncResult(task_id))["suggest"] == "risky"
    assert system.calls(TEXT_PATH if kind == "text" else MEDIA_PATH) == 2


def test_the_verdict_in_a_chord_is_that_of_its_own_part(system: System) -> None:
    """Celery overwrites no result that is a success."""
    task_id = str(uuid.uuid4())
    assert verdict_of(text(system, words("pass")).apply_async(task_id=task_id))["suggest"] == "pass"
    parts = [text(system, words("risky")).set(task_id=task_id), text(system, words("pass"))]
    album = chord(parts)(system.app.signature("application.album", queue="application"))
    assert ended(album).get() == ["risky", "pass"]
    assert verdict_of(system.app.AsyncResult(task_id))["suggest"] == "risky"


def test_a_second_check_with_other_content_fails_while_the_first_one_waits(system: System) -> None:
    task_id = str(uuid.uuid4())
    first = sent(system, media(system, picture("lost")), task_id, "first")
    trace_id = waiting(first)
    parked(system, trace_id)
    sent(system, media(system, picture("risky")), task_id, "second")
    eventually(lambda: told(system) == [("hide", "second")], "the second one's errback runs")
    assert (first.state, system.calls(MEDIA_PATH)) == (wxcheck.WAITING, 1)
    push(system, media_push(trace_id))
    assert verdict_of(first)["suggest"] == "pass"
    eventually(lambda: told(system) == [("hide", "second"), ("publish", "first")], "the first one's follow-up runs")
    nothing_is_in_hand(system)


def test_who_waits_for_the_end_of_a_chain_is_told_that_its_check_has_no_task_id_of_its_own(system: System) -> None:
    task_id = str(uuid.uuid4())
    first = sent(system, media(system, picture("lost")), task_id, "first")
    parked(system, waiting(first))
    publish = system.app.signature("application.publish", queue="application")
    failure = failure_of(chain(text(system, words()).set(task_id=task_id), publish).apply_async())
    assert type(failure) is wxcheck.InvalidCheck
    assert "task id of its own" in failure.message
    assert first.state == wxcheck.WAITING


def test_a_chord_with_a_task_id_that_is_taken_fails(system: System) -> None:
    task_id = str(uuid.uuid4())
    parked(system, waiting(sent(system, media(system, picture("lost")), task_id, "first")))
    hide = system.app.signature("application.hide", kwargs={"item": "album"}, queue="application")
    body = system.app.signature("application.album", queue="application").on_error(hide)
    album = chord([text(system, words()).set(task_id=task_id), text(system, words())])(body)
    eventually(lambda: album.state == "FAILURE", "the chord fails")
    eventually(lambda: told(system) == [("hide", "album")], "the body's errback runs")
    assert system.app.AsyncResult(task_id).state == wxcheck.WAITING


def test_a_second_check_that_is_invalid_by_itself_leaves_the_first_one_alone(system: System) -> None:
    task_id = str(uuid.uuid4())
    first = sent(system, media(system, picture("lost")), task_id, "first")
    trace_id = waiting(first)
    parked(system, trace_id)
    sent(system, text(system, ""), task_id, "second")
    eventually(lambda: told(system) == [("hide", "second")], "the second one's errback runs")
    nothing_is_in_hand(system)
    assert first.state == wxcheck.WAITING
    push(system, media_push(trace_id))
    assert verdict_of(first)["suggest"] == "pass"


def test_a_second_check_with_other_content_fails_while_the_first_one_waits_for_its_retry(
    patient_system: System,
) -> None:
    system = patient_system
    task_id = str(uuid.uuid4())
    first = sent(system, text(system, words("-1")), task_id, "first")
    eventually(lambda: on_shelf(system.redis, task_id) is not None, "it is on the shelf, for long")
    sent(system, text(system, words("risky")), task_id, "second")
    eventually(lambda: told(system) == [("hide", "second")], "the second one's errback runs")
    time_comes(system, SHARD.key("shelf"), task_id)
    assert type(failure_of(first)) is wxcheck.PlatformUnavailable
    eventually(lambda: told(system) == [("hide", "second"), ("hide", "first")], "the first one's errback runs")


def test_of_two_checks_with_a_countdown_the_second_one_fails_and_the_first_one_runs(system: System) -> None:
    task_id = str(uuid.uuid4())
    first = sent(system, text(system, words("risky")), task_id, "first", countdown=3600)
    eventually(lambda: on_shelf(system.redis, task_id) is not None, "it is on the shelf")
    sent(system, text(system, words("pass")), task_id, "second", countdown=3600)
    eventually(lambda: told(system) == [("hide", "second")], "the second one's errback runs")
    time_comes(system, SHARD.key("shelf"), task_id)
    assert verdict_of(first)["suggest"] == "risky"
    eventually(lambda: ("publish", "first") in told(system), "the first one's follow-up runs")
    assert system.calls(TEXT_PATH) == 1


@pytest.mark.parametrize("redelivered", [True, False])
def test_a_check_that_waits_is_known_by_its_message_that_comes_again(system: System, redelivered: bool) -> None:
    elsewhere, task_id = f"elsewhere-{uuid.uuid4().hex}", str(uuid.uuid4())
    kwargs = {"media_url": picture("lost") + "&name=图片", "media_type": "image"}
    check = system.app.signature(wxcheck.CHECK_MEDIA, kwargs=kwargs, queue=elsewhere)
    result = check.apply_async(task_id=task_id)
    message = taken_out(system.redis, elsewhere)
    delivered_again(system, wxcheck.MEDIA_QUEUE, message, redelivered=False)
    trace_id = waiting(result)
    parked(system, trace_id)
    delivered_again(system, wxcheck.MEDIA_QUEUE, message, redelivered=redelivered)
    log = system.directory / "worker.log"
    eventually(lambda: f"check_repeated task_id={task_id}" in log.read_text(), "it is known")
    push(system, media_push(trace_id))
    assert verdict_of(result)["suggest"] == "pass"
    assert system.calls(MEDIA_PATH) == 1


def test_the_message_of_a_check_that_comes_again_after_a_second_one_ended_is_known(system: System) -> None:
    elsewhere, task_id = f"elsewhere-{uuid.uuid4().hex}", str(uuid.uuid4())
    text(system, words("pass")).set(queue=elsewhere).apply_async(task_id=task_id)
    message = taken_out(system.redis, elsewhere)
    delivered_again(system, wxcheck.TEXT_QUEUE, message, redelivered=False)
    assert verdict_of(system.app.AsyncResult(task_id))["suggest"] == "pass"
    text(system, words("risky")).apply_async(task_id=task_id)
    # a result that has been read is not read again, and the first one's stands until the second one ends
    eventually(lambda: verdict_of(system.app.AsyncResult(task_id))["suggest"] == "risky", "the second one ends")
    delivered_again(system, wxcheck.TEXT_QUEUE, message)
    log = system.directory / "worker.log"
    eventually(lambda: f"check_repeated task_id={task_id}" in log.read_text(), "it is known")
    assert verdict_of(system.app.AsyncResult(task_id))["suggest"] == "risky"
    assert system.calls(TEXT_PATH) == 2


def timed_out(system: System, task_id: str) -> None:
    """A picture whose push never came."""
    first = sent(system, media(system, picture("lost")), task_id, "first")
    trace_id = waiting(first)
    parked(system, trace_id)
    time_comes(system, SHARD.key("parked"), task_id)
    assert type(failure_of(first)) is wxcheck.PushTimeout
    eventually(lambda: told(system) == [("hide", "first")], "its errback runs")


def replayed(system: System, task_id: str) -> int:
    replaying = system.run("replay", [str(Path(sys.executable).parent / "wxcheck"), "replay", task_id, "--yes"])
    return replaying.process.wait(PATIENCE)


def test_a_check_that_is_replayed_has_its_task_id_again(system: System) -> None:
    task_id = str(uuid.uuid4())
    timed_out(system, task_id)
    assert replayed(system, task_id) == 0
    # a result that has been read is not read again
    eventually(lambda: system.app.AsyncResult(task_id).state == wxcheck.WAITING, "it waits again")
    assert system.calls(MEDIA_PATH) == 2
    sent(system, media(system, picture()), task_id, "second")
    eventually(lambda: ("hide", "second") in told(system), "another one fails")
    assert (system.calls(MEDIA_PATH), system.app.AsyncResult(task_id).state) == (2, wxcheck.WAITING)


def test_a_check_is_not_replayed_while_another_one_has_its_task_id(system: System) -> None:
    task_id = str(uuid.uuid4())
    timed_out(system, task_id)
    sent(system, media(system, picture("lost")), task_id, "second")
    # a result that has been read is not read again
    eventually(lambda: system.app.AsyncResult(task_id).state == wxcheck.WAITING, "the second one waits")
    trace_id = str(system.app.AsyncResult(task_id).info["trace_id"])
    parked(system, trace_id)
    assert replayed(system, task_id) == 2
    assert system.redis.hexists(keys.DEAD_LETTERS, task_id)
    push(system, media_push(trace_id))
    assert verdict_of(system.app.AsyncResult(task_id))["suggest"] == "pass"
    assert replayed(system, task_id) == 0
    eventually(lambda: system.calls(MEDIA_PATH) == 3, "the first one is sent again")


def test_a_digest_is_of_the_task_and_its_arguments_and_of_nothing_else() -> None:
    one = digest_of("wxcheck.check_text", ["你好"], {"scene": 1, "openid": "o"})
    assert one == digest_of("wxcheck.check_text", ("你好",), {"openid": "o", "scene": 1})
    assert len(one) == 8
    others = {
        digest_of("wxcheck.check_media", ["你好"], {"scene": 1, "openid": "o"}),
        digest_of("wxcheck.check_text", ["你好!"], {"scene": 1, "openid": "o"}),
        digest_of("wxcheck.check_text", ["你好"], {"scene": 2, "openid": "o"}),
        digest_of("wxcheck.check_text", None, "text"),
    }
    assert len(others | {one}) == 5


@pytest.mark.filterwarnings("ignore:Call to deprecated setex")  # Celery's own call
@pytest.mark.parametrize("topology", ["all apart", "RabbitMQ"])
def test_where_broker_and_results_are_apart_it_is_the_same(topology: str, tmp_path: Path) -> None:
    system = System(tmp_path, topology)
    try:
        system.sandbox()
        system.endpoint()
        system.worker()
        system.application()
        task_id = str(uuid.uuid4())
        first = sent(system, text(system, words("pass")), task_id, "first")
        assert verdict_of(first)["suggest"] == "pass"
        # where they are apart, the result is stored before the check has ended
        eventually(lambda: place_of(system, task_id) == "ended", "the first one has ended")
        second = sent(system, media(system, picture("lost")), task_id, "second")
        # a result that has been read is not read again
        eventually(lambda: system.app.AsyncResult(task_id).state == wxcheck.WAITING, "the second one waits")
        trace_id = str(system.app.AsyncResult(task_id).info["trace_id"])
        parked(system, trace_id)
        sent(system, text(system, words("risky")), task_id, "third")
        eventually(lambda: ("hide", "third") in told(system), "the third one's errback runs")
        assert system.app.AsyncResult(task_id).state == wxcheck.WAITING
        push(system, media_push(trace_id))
        eventually(lambda: ("publish", "second") in told(system), "the second one's follow-up runs")
        assert verdict_of(system.app.AsyncResult(second.id))["kind"] == "image"
        assert sorted(told(system)) == [("hide", "third"), ("publish", "first"), ("publish", "second")]
        assert (system.calls(TEXT_PATH), system.calls(MEDIA_PATH)) == (1, 1)
    finally:
        system.close()
