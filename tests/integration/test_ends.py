"""A check ends once, and costs one call, although its end cannot be told or another run has it.

Tests: tasks.base, tasks.push, tasks.giving_up, store.records.endings
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from celery import chain, chord, group
from celery.result import AsyncResult

import wxcheck
from config.names import FINISH
from store import keys
from tests.support.checks import V2, ended, failure_of, picture, runs, verdict_of, words
from tests.support.processes import eventually
from tests.support.queues import taken_out, unacknowledged
from tests.support.system import APPID, System, working
from wechat.checks import MEDIA_PATH, TEXT_PATH


def text(system: System, content: str, **more: Any) -> Any:
    return system.app.signature(wxcheck.CHECK_TEXT, args=(content,), kwargs=more, queue=wxcheck.TEXT_QUEUE)


def media(system: System, url: str) -> Any:
    return system.app.signature(wxcheck.CHECK_MEDIA, args=(url,), queue=wxcheck.MEDIA_QUEUE)


def follow_up(system: System, name: str = "publish", **options: Any) -> Any:
    return system.app.signature(f"application.{name}", kwargs={"item": "a"}, **{"queue": "application", **options})


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system whose worker runs checks in child processes."""
    with working(tmp_path_factory.mktemp("children"), "--pool=processes", "-c", "2") as system:
        yield system


def lane_is_closed(system: System, lane: str) -> None:
    """As when WeChat has said that the quota of the day is used up."""
    until = str(int((time.time() + 3600) * 1e6))
    system.redis.hset(keys.quota(APPID, lane), mapping={"closed_until": until, "why": "day"})


def sent_again(system: System, check: Any, **changes: Any) -> AsyncResult:
    """Enqueues a check whose message comes a second time; ``changes``: of its body, which are args and kwargs."""
    elsewhere = f"elsewhere-{uuid.uuid4().hex}"
    result: AsyncResult = check.set(queue=elsewhere).apply_async()
    message = taken_out(system.redis, elsewhere)
    message["properties"]["delivery_info"].update(routing_key=wxcheck.TEXT_QUEUE, redelivered=True)
    args, kwargs, embed = json.loads(message["body"])
    message["body"] = json.dumps([changes.get("args", args), changes.get("kwargs", kwargs), embed])
    system.redis.lpush(wxcheck.TEXT_QUEUE, json.dumps(message))
    return result


def nothing_is_left(system: System) -> None:
    eventually(lambda: not unacknowledged(system.redis), "nothing is in hand")
    eventually(lambda: not system.redis.exists(keys.SHELF, keys.DUE), "nothing waits")


# -- what follows cannot be published for good -------------------------------------------------------------------------

UNPUBLISHABLE = [{"serializer": "not-installed"}, {"compression": "not-installed"}]
unpublishable = pytest.mark.parametrize("options", UNPUBLISHABLE, ids=["serializer", "compression"])


@unpublishable
@pytest.mark.parametrize("pool", ["system", "children"])
def test_a_text_whose_follow_up_cannot_be_published_fails_once_and_for_all(
    request: pytest.FixtureRequest, pool: str, options: dict[str, str]
) -> None:
    system: System = request.getfixturevalue(pool)
    before = system.calls(TEXT_PATH)
    check = text(system, words()).on_error(follow_up(system, "hide"))
    last = chain(check, follow_up(system, **options)).apply_async()
    with pytest.raises(Exception, match="not-installed"):
        ended(last.parent).get()
    eventually(lambda: runs(system, "hide"), "its errback runs")
    nothing_is_left(system)
    assert system.calls(TEXT_PATH) == before + 1
    assert system.redis.hget(keys.record(last.parent.id), "state") == "done"
    system.redis.delete("application:runs")


@unpublishable
@pytest.mark.parametrize("pool", ["system", "children"])
def test_a_text_whose_errback_cannot_be_published_fails_once_and_for_all(
    request: pytest.FixtureRequest, pool: str, options: dict[str, str]
) -> None:
    """Celery lets such an error out of what runs a task."""
    system: System = request.getfixturevalue(pool)
    before = system.calls(TEXT_PATH)
    result = text(system, words("errcode=40003")).on_error(follow_up(system, "hide", **options)).apply_async()
    eventually(lambda: system.redis.hget(keys.record(result.id), "state") == "done", "it ends")
    nothing_is_left(system)
    assert result.state == "FAILURE"
    assert system.calls(TEXT_PATH) == before + 1


@unpublishable
def test_a_chord_whose_last_part_fails_with_an_errback_that_cannot_be_published_fails_once_and_for_all(
    system: System, options: dict[str, str]
) -> None:
    """Celery fails such a part twice, and the second time it finds the chord claimed: by itself."""
    part = text(system, words("errcode=40003")).on_error(follow_up(system, "hide", **options))
    body = follow_up(system, "album").on_error(follow_up(system, "hide"))
    album = chord([part])(body)
    eventually(lambda: runs(system, "hide"), "the errback of the body runs")
    nothing_is_left(system)
    (first,) = album.parent.results
    assert type(failure_of(first)) is wxcheck.CheckRefused
    assert (album.state, system.calls(TEXT_PATH)) == ("FAILURE", 1)
    assert system.redis.hget(keys.record(first.id), "state") == "done"
    assert len(runs(system, "hide")) == 1


@unpublishable
def test_a_picture_whose_follow_up_cannot_be_published_fails_once_and_for_all(
    system: System, options: dict[str, str]
) -> None:
    last = chain(media(system, picture()), follow_up(system, **options)).apply_async()
    with pytest.raises(Exception, match="not-installed"):
        ended(last.parent).get()
    nothing_is_left(system)
    assert system.calls(MEDIA_PATH) == 1


def test_what_was_to_follow_a_success_is_not_published_with_the_failure(system: System) -> None:
    check = text(system, words())
    check.link(follow_up(system, item="published"))
    last = chain(check, follow_up(system, serializer="not-installed")).apply_async(link_error=follow_up(system, "hide"))
    eventually(lambda: runs(system, "hide"), "its errback runs")
    time.sleep(0.5)
    assert ended(last.parent).state == "FAILURE"
    assert runs(system, "publish") == []


@pytest.mark.parametrize("kind", ["text", "media"])
def test_a_check_whose_follow_up_has_no_queue_but_a_key_of_another_kind_fails_once_and_for_all(
    system: System, kind: str
) -> None:
    name = f"broken-{uuid.uuid4().hex}"
    system.redis.set(name, "a text, where a list should be")
    path = TEXT_PATH if kind == "text" else MEDIA_PATH
    check = text(system, words()) if kind == "text" else media(system, picture())
    last = chain(check, follow_up(system, queue=name)).apply_async()
    with pytest.raises(Exception, match="WRONGTYPE"):
        ended(last.parent).get()
    nothing_is_left(system)
    assert system.calls(path) == 1
    system.redis.delete(name)


# -- what follows cannot be published for a while ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def lone_thread(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system whose worker has one connection to publish on, which asks once what a queue is."""
    with working(tmp_path_factory.mktemp("lone"), "-c", "1") as system:
        yield system


@pytest.mark.parametrize("kind", ["text", "media"])
def test_a_check_whose_end_does_not_get_into_the_store_ends_when_it_can_with_one_call(
    lone_thread: System, kind: str
) -> None:
    system, path, name = lone_thread, TEXT_PATH if kind == "text" else MEDIA_PATH, f"later-{kind}"

    def sent() -> Any:
        check = text(system, words("risky")) if kind == "text" else media(system, picture("risky"))
        return chain(check, follow_up(system, queue=name)).apply_async().parent

    sent()
    eventually(lambda: system.redis.llen(name) == 1, "the worker knows the queue")
    system.redis.delete(name)
    system.redis.set(name, "a text, where a list should be")
    check = sent()
    eventually(lambda: system.calls(path) == 2, "it is sent")
    time.sleep(3)  # its end is tried again, more than once
    assert check.state in ("PENDING", "WAITING")  # who sees a verdict may rely on what follows
    # nor does it cost a permit
    lane_is_closed(system, kind)
    assert system.redis.hget(keys.record(check.id), "state") in ("sending", "waiting")
    system.redis.delete(name)
    # not only when some lease is over
    eventually(lambda: system.redis.llen(name) == 1, "what follows is published", 20)
    nothing_is_left(system)
    assert system.calls(path) == 2
    assert verdict_of(check)["suggest"] == "risky"
    system.open_lanes()


def refused_check(system: System, kind: str, queue: str) -> Any:
    """A check whose follow-up goes to a queue that was used before, and is another kind of key now; and an errback."""

    def sent() -> Any:
        check = text(system, words("risky")) if kind == "text" else media(system, picture("risky"))
        follows = follow_up(system, queue=queue)
        return chain(check, follows).apply_async(link_error=follow_up(system, "hide")).parent

    sent()
    eventually(lambda: system.redis.llen(queue) == 1, "the worker knows the queue")
    system.redis.delete(queue)
    system.redis.set(queue, "a text, where a list should be")
    return sent()


@pytest.mark.parametrize("kind", ["text", "media"])
def test_a_check_whose_end_the_store_refuses_each_time_fails_with_that_and_its_errbacks_once(
    lone_thread: System, kind: str
) -> None:
    system, path, queue = lone_thread, TEXT_PATH if kind == "text" else MEDIA_PATH, f"never-{kind}"
    system.redis.delete("application:runs")
    before = system.calls(path)
    check = refused_check(system, kind, queue)
    with pytest.raises(Exception, match=f"WRONGTYPE {queue} is a string"):
        ended(check).get()
    eventually(lambda: runs(system, "hide"), "its errback runs")
    nothing_is_left(system)
    assert system.calls(path) == before + 2
    assert system.redis.hget(keys.record(check.id), "state") == "done"
    assert [run["name"] for run in runs(system)] == ["hide"]
    log = (system.directory / "worker.log").read_text()
    assert all(f"attempt {attempt} of 10, then the check fails" in log for attempt in range(1, 11))


def test_a_chord_whose_body_the_store_refuses_each_time_fails_with_its_errbacks_once(lone_thread: System) -> None:
    system, queue = lone_thread, "never-body"
    system.redis.delete("application:runs")

    def sent() -> Any:
        body = follow_up(system, "album", queue=queue).on_error(follow_up(system, "hide"))
        return chord([text(system, words()), text(system, words())])(body)

    sent()
    eventually(lambda: system.redis.llen(queue) == 1, "the worker knows the queue")
    system.redis.delete(queue)
    system.redis.set(queue, "a text, where a list should be")
    album = sent()
    eventually(lambda: album.state == "FAILURE", "the body fails")
    eventually(lambda: runs(system, "hide"), "the body's errback runs")
    nothing_is_left(system)
    assert [run["name"] for run in runs(system)] == ["hide"]


def test_a_check_whose_record_cannot_be_read_fails(system: System) -> None:
    result = text(system, words()).on_error(follow_up(system, "hide"))
    task_id = str(uuid.uuid4())
    system.redis.set(keys.record(task_id), "a text, where a record should be")
    failed = result.apply_async(task_id=task_id)
    with pytest.raises(Exception, match="WRONGTYPE"):
        ended(failed).get()
    eventually(lambda: runs(system, "hide"), "its errback runs")
    nothing_is_left(system)
    assert system.calls(TEXT_PATH) == 0


# -- more follows than a script has room for ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text", "media"])
def test_any_number_of_tasks_may_follow_a_check(system: System, kind: str) -> None:
    """Lua's ``unpack`` has room for some thousands of values."""
    queue, many = f"many-{uuid.uuid4().hex}", 4100
    check = text(system, words()) if kind == "text" else media(system, picture())
    crowd = group([follow_up(system, item=number, queue=queue) for number in range(many)])
    crowded = chain(check, crowd).apply_async()
    assert verdict_of(crowded.parent)["suggest"] == "pass"
    assert system.redis.llen(queue) == many
    nothing_is_left(system)
    system.redis.delete(queue)


# -- another run has it ------------------------------------------------------------------------------------------------


def sent_by_another(system: System, task_id: str, seconds: float, **fields: str) -> None:
    """Writes the record of a check that another run sends, whose lease lasts for ``seconds``."""
    record: dict[Any, Any] = {"state": "sending", "run": "another", "lease": time.time() + seconds, **fields}
    system.redis.hset(keys.record(task_id), mapping=record)


def test_a_check_takes_the_verdict_of_a_run_that_died_before_it_could_end_it(system: System) -> None:
    task_id = str(uuid.uuid4())
    verdict = {"suggest": "review", "label": 20006, "version": 2, "detail": [], "trace_id": "t", "appid": "wx1"}
    sent_by_another(system, task_id, -1, ending=json.dumps({"verdict": verdict}))
    last = chain(text(system, words("pass")).set(task_id=task_id), follow_up(system)).apply_async()
    assert verdict_of(last.parent) == verdict
    eventually(lambda: runs(system, "publish"), "its follow-up runs")
    assert runs(system, "publish")[0]["arguments"] == [verdict, "a"]
    assert system.calls(TEXT_PATH) == 0


def test_a_check_takes_the_failure_of_a_run_that_died_before_it_could_end_it(system: System) -> None:
    task_id = str(uuid.uuid4())
    ending = {"failure": "CheckRefused", "said": [40003, "invalid openid", "rid"]}
    sent_by_another(system, task_id, -1, ending=json.dumps(ending))
    failure = failure_of(text(system, words("pass")).apply_async(task_id=task_id))
    assert (type(failure), failure.args) == (wxcheck.CheckRefused, (40003, "invalid openid", "rid"))
    assert system.calls(TEXT_PATH) == 0


def test_a_check_that_comes_again_with_its_ending_noted_needs_no_permit(system: System) -> None:
    """Its lane may be closed until midnight."""
    task_id = str(uuid.uuid4())
    sent_by_another(system, task_id, -1, ending=json.dumps({"verdict": {"suggest": "risky"}}))
    lane_is_closed(system, "text")
    result = sent_again(system, text(system, words("pass")).set(task_id=task_id))
    assert verdict_of(result) == {"suggest": "risky"}
    system.open_lanes()


@pytest.mark.parametrize(("args", "kwargs"), [([], None), ([], "text"), (None, {})])
def test_a_message_whose_arguments_are_none_fails(system: System, args: Any, kwargs: Any) -> None:
    """Not every language's client makes an empty object of nothing."""
    result = sent_again(system, text(system, words()), args=args, kwargs=kwargs)
    assert ended(result).state == "FAILURE"
    nothing_is_left(system)


def test_a_finish_of_nobody_is_dropped(system: System) -> None:
    result = system.app.send_task(FINISH, queue="wxcheck.push")
    assert ended(result).state == "FAILURE"
    nothing_is_left(system)
    for _ in range(20):  # nor does it come back
        time.sleep(0.1)
        assert not unacknowledged(system.redis)


def test_a_second_message_that_has_become_stale_fails_neither_the_check_nor_its_chord(system: System) -> None:
    task_id = str(uuid.uuid4())
    header = [text(system, words(), **V2).set(task_id=task_id), text(system, words())]
    sent_by_another(system, task_id, 60)
    header[0].set(headers={wxcheck.SENT_AT_HEADER: time.time() - 7200})
    album = chord(header)(follow_up(system, "album"))
    first, second = album.parent.results
    verdict_of(second)
    time.sleep(1)
    assert first.state == "PENDING"
    # the run that has it ends it
    verdict = {"suggest": "pass", "label": 100, "version": 1, "detail": [], "trace_id": None, "appid": "wx1"}
    sent_by_another(system, task_id, -1, ending=json.dumps({"verdict": verdict}))
    eventually(lambda: runs(system, "album"), "the chord's body runs")
    assert verdict_of(first) == verdict
    assert system.calls(TEXT_PATH) == 1


def test_a_check_that_is_called_as_a_function_returns_its_verdict(system: System) -> None:
    """In a program that has the workers' settings: no message is under way, and nothing follows."""
    code = "from tasks.text import check_text; print(check_text.apply(args=['sandbox:risky']).get()['suggest'])"
    environment = {**os.environ, **system.environment}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    assert (ran.returncode, ran.stdout) == (0, "risky\n"), ran.stderr
