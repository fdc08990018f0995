"""A check ends once, and costs one call, although its end cannot be told or another run has it.

Tests: tasks.base, worker.ending.relay
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
import uuid
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from celery import chain, chord, group
from celery.result import AsyncResult

import wxcheck
from store import keys
from store.places.shard import SHARD
from tests.support.checks import V2, ended, failure_of, picture, place_of, runs, verdict_of, words
from tests.support.processes import eventually
from tests.support.queues import taken_out
from tests.support.system import System, working
from wechat.checks import MEDIA_PATH, TEXT_PATH


def text(system: System, content: str, **more: Any) -> Any:
    return system.app.signature(wxcheck.CHECK_TEXT, args=(content,), kwargs=more, queue=wxcheck.TEXT_QUEUE)


def media(system: System, url: str) -> Any:
    return system.app.signature(wxcheck.CHECK_MEDIA, args=(url,), queue=wxcheck.MEDIA_QUEUE)


def follow_up(system: System, name: str = "publish", **options: Any) -> Any:
    return system.app.signature(f"application.{name}", kwargs={"item": "a"}, **{"queue": "application", **options})


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
    places = [SHARD.key(name) for name in ("messages", "hand", "shelf", "parked", "outbox")]
    eventually(lambda: not system.redis.exists(*places), "nothing is in hand, and nothing waits")


# -- what follows cannot be published for good -------------------------------------------------------------------------

UNPUBLISHABLE = [{"serializer": "not-installed"}, {"compression": "not-installed"}]
unpublishable = pytest.mark.parametrize("options", UNPUBLISHABLE, ids=["serializer", "compression"])


@unpublishable
def test_a_text_whose_follow_up_cannot_be_published_fails_once_and_for_all(
    system: System, options: dict[str, str]
) -> None:
    before = system.calls(TEXT_PATH)
    check = text(system, words()).on_error(follow_up(system, "hide"))
    last = chain(check, follow_up(system, **options)).apply_async()
    with pytest.raises(Exception, match="not-installed"):
        ended(last.parent).get()
    eventually(lambda: runs(system, "hide"), "its errback runs")
    nothing_is_left(system)
    assert system.calls(TEXT_PATH) == before + 1
    assert place_of(system, last.parent.id) == "ended"
    system.redis.delete("application:runs")


@unpublishable
def test_a_text_whose_errback_cannot_be_published_fails_once_and_for_all(
    system: System, options: dict[str, str]
) -> None:
    """Celery lets such an error out of what runs a task."""
    before = system.calls(TEXT_PATH)
    result = text(system, words("errcode=40003")).on_error(follow_up(system, "hide", **options)).apply_async()
    eventually(lambda: place_of(system, result.id) == "ended", "it ends")
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
    assert place_of(system, first.id) == "ended"
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
    system.close_lane(kind)
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
    assert place_of(system, check.id) == "ended"
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


def test_a_check_whose_end_no_script_takes_fails_by_name_and_is_forgotten(system: System) -> None:
    system.redis.delete(keys.DEAD)
    system.redis.set(keys.DEAD, "a text, where the letters should be")
    check = text(system, words("-1")).on_error(follow_up(system, "hide")).apply_async()
    eventually(lambda: "WRONGTYPE" in str(system.app.AsyncResult(check.id).result), "it fails by name")
    eventually(lambda: runs(system, "hide"), "its errback runs")
    nothing_is_left(system)
    assert place_of(system, check.id) == ""
    assert len(runs(system, "hide")) == 1
    system.redis.delete(keys.DEAD)


def test_a_picture_that_no_script_parks_fails_by_name_with_one_call(system: System) -> None:
    system.redis.delete(SHARD.key("traces"))
    system.redis.set(SHARD.key("traces"), "a text, where the traces should be")
    check = media(system, picture()).on_error(follow_up(system, "hide")).apply_async()
    with pytest.raises(Exception, match="WRONGTYPE"):
        ended(check).get()
    eventually(lambda: runs(system, "hide"), "its errback runs")
    nothing_is_left(system)
    assert (place_of(system, check.id), system.calls(MEDIA_PATH)) == ("ended", 1)
    system.redis.delete(SHARD.key("traces"))


# -- the form of what follows ------------------------------------------------------------------------------------------


def test_what_follows_is_plain_text_which_any_client_reads(system: System) -> None:
    """A newer kombu's JSON can hold bytes, in a form that others do not know."""
    queue = f"plain-{uuid.uuid4().hex}"
    crowd = group([follow_up(system, queue=queue), follow_up(system, queue=queue, compression="zlib")])
    assert verdict_of(chain(text(system, words()), crowd).apply_async().parent)["suggest"] == "pass"
    plain, compressed = (json.loads(message) for message in reversed(system.redis.lrange(queue, 0, -1)))
    assert (plain["properties"]["body_encoding"], json.loads(plain["body"])[1]) == (None, {"item": "a"})
    assert json.loads(zlib.decompress(base64.b64decode(compressed["body"])))[1] == {"item": "a"}
    assert compressed["properties"]["body_encoding"] == "base64"
    system.redis.delete(queue)


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


@pytest.mark.parametrize(("args", "kwargs"), [([], None), ([], "text"), (None, {})])
def test_a_message_whose_arguments_are_none_fails(system: System, args: Any, kwargs: Any) -> None:
    """Not every language's client makes an empty object of nothing."""
    result = sent_again(system, text(system, words()), args=args, kwargs=kwargs)
    assert ended(result).state == "FAILURE"
    nothing_is_left(system)


def test_a_second_message_that_has_become_stale_fails_neither_the_check_nor_its_chord(system: System) -> None:
    system.close_lane("text")
    waits = text(system, words(), **V2).set(task_id=str(uuid.uuid4()))
    album = chord([waits, text(system, words())])(follow_up(system, "album"))
    first, _ = album.parent.results
    eventually(lambda: place_of(system, first.id) == "lane", "it waits")
    sent_again(system, waits.set(headers={wxcheck.SENT_AT_HEADER: time.time() - 7200}))
    time.sleep(2)
    assert first.state == "PENDING"
    system.open_lanes()
    eventually(lambda: runs(system, "album"), "the chord's body runs")
    assert verdict_of(first)["suggest"] == "pass"
    assert system.calls(TEXT_PATH) == 2


def test_a_check_that_is_called_as_a_function_says_how_it_is_sent(system: System) -> None:
    """In a program that has the workers' settings: no permit is at hand, and nothing would follow."""
    code = "from tasks.text import check_text; print(check_text.apply(args=['sandbox:risky']).result)"
    environment = {**os.environ, **system.environment}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    assert (ran.returncode, ran.stdout) == (0, "a check is sent by a worker; enqueue it with apply_async\n"), ran.stderr
    assert system.calls(TEXT_PATH) == 0
