"""Checks that failed for a reason that a person can mend are kept, listed, and replayed once with all that follows.

Tests: store.dead_letters.dead_letters, worker.intake.replay
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from celery import chain, chord

import wxcheck
from store import keys
from store.dead_letters.dead_letters import DeadLetters
from store.places.forms import Ended, Held
from store.places.shard import SHARD
from tests.support.checks import V2, failure_of, parked, picture, runs, time_comes, verdict_of, waiting, words
from tests.support.commands import wxcheck_command
from tests.support.places_world import PlacesWorld
from tests.support.places_world import picture as picture_in_lane
from tests.support.places_world import text as text_in_lane
from tests.support.processes import eventually
from tests.support.system import APPID, System
from wechat.checks import TEXT_PATH
from wxcheck import CheckRefused, InvalidCheck, MediaUnavailable, PlatformUnavailable, PushTimeout, StaleCheck


def listed(system: System) -> dict[str, dict[str, Any]]:
    ran = wxcheck_command(system, "dead", "--json")
    assert ran.returncode == 0, ran.stderr
    return {letter["task_id"]: letter for letter in json.loads(ran.stdout)}


def follow_up(system: System, name: str, item: str) -> Any:
    return system.app.signature(f"application.{name}", kwargs={"item": item}, queue="application")


def text(system: System, content: str, **more: Any) -> Any:
    return system.app.signature(wxcheck.CHECK_TEXT, args=(content,), kwargs=more, queue=wxcheck.TEXT_QUEUE)


def media(system: System, url: str) -> Any:
    return system.app.signature(wxcheck.CHECK_MEDIA, args=(url,), queue=wxcheck.MEDIA_QUEUE)


# -- through the whole system ------------------------------------------------------------------------------------------


def test_a_text_that_failed_while_the_platform_was_away_is_replayed_once_with_its_chain(system: System) -> None:
    check = text(system, words("-1*5"))
    last = chain(check, follow_up(system, "publish", "a")).apply_async(link_error=follow_up(system, "hide", "a"))
    assert isinstance(failure_of(last.parent), PlatformUnavailable)
    eventually(lambda: runs(system, "hide"), "the errback runs")
    letter = listed(system)[last.parent.id]
    assert (letter["failure"], letter["said"]) == ("PlatformUnavailable", [-1])
    assert (letter["appid"], letter["task"], letter["has_content"]) == (APPID, wxcheck.CHECK_TEXT, True)
    calls = system.calls(TEXT_PATH)

    ran = wxcheck_command(system, "replay", last.parent.id, "--yes")
    assert (ran.returncode, ran.stdout) == (0, "1 are on their way.\n")
    eventually(lambda: runs(system, "publish"), "the follow-up runs")
    assert verdict_of(system.app.AsyncResult(last.parent.id))["suggest"] == "pass"
    assert system.calls(TEXT_PATH) == calls + 1
    assert last.parent.id not in listed(system)

    again = wxcheck_command(system, "replay", last.parent.id, "--yes")
    assert again.returncode == 2
    assert "is not there" in again.stderr
    assert len(runs(system, "publish")) == 1


def test_a_picture_whose_push_never_came_is_replayed_with_its_link_and_waits_again(system: System) -> None:
    result = media(system, picture("lost")).apply_async(link=follow_up(system, "publish", "b"))
    trace_id = waiting(result)
    parked(system, trace_id)
    time_comes(system, SHARD.key("parked"), result.id)
    assert isinstance(failure_of(result), PushTimeout)
    system.redis.delete(f"celery-task-meta-{result.id}")
    assert listed(system)[result.id]["failure"] == "PushTimeout"
    assert wxcheck_command(system, "replay", "--failure", "PushTimeout", "--yes").returncode == 0
    assert waiting(system.app.AsyncResult(result.id)) != trace_id


def test_a_picture_that_could_not_be_fetched_is_replayed_when_it_can(system: System) -> None:
    result = media(system, picture("unfetchable")).apply_async(link=follow_up(system, "publish", "c"))
    assert isinstance(failure_of(result), MediaUnavailable)
    letter = listed(system)[result.id]
    assert letter["failure"] == "MediaUnavailable"
    assert wxcheck_command(system, "replay", result.id, "--yes").returncode == 0
    eventually(lambda: listed(system).get(result.id, {}).get("failed_at", 0) > letter["failed_at"], "it failed again")


def test_a_refused_appid_is_kept_and_refused_content_is_not(system: System) -> None:
    refused = text(system, words("errcode=48001")).apply_async()
    assert isinstance(failure_of(refused), CheckRefused)
    system.open_lanes()
    bad = text(system, words("errcode=40003")).apply_async()
    assert isinstance(failure_of(bad), CheckRefused)
    invalid = text(system, "").apply_async()
    assert isinstance(failure_of(invalid), InvalidCheck)
    found = listed(system)
    assert refused.id in found
    assert bad.id not in found
    assert invalid.id not in found


def test_a_check_that_is_replayed_late_is_not_stale(system: System) -> None:
    """Its user may have come back, and if not, the platform says so."""
    check = text(system, words("-1*5"), **V2)
    result = check.apply_async(headers={wxcheck.SENT_AT_HEADER: time.time() - 6500})
    assert isinstance(failure_of(result), PlatformUnavailable)
    letter = json.loads(str(system.redis.hget(keys.DEAD_LETTERS, result.id)))
    message = json.loads(letter["message"])
    message["headers"][wxcheck.SENT_AT_HEADER] -= 1000
    letter["message"] = json.dumps(message)
    system.redis.hset(keys.DEAD_LETTERS, result.id, json.dumps(letter))
    wxcheck_command(system, "replay", result.id, "--yes")
    eventually(lambda: system.app.AsyncResult(result.id).state == "SUCCESS", "it passes")


def test_a_chord_whose_part_is_replayed_stays_failed(system: System) -> None:
    header = [text(system, words()), text(system, words("-1*5"))]
    body = follow_up(system, "album", "d").on_error(follow_up(system, "hide", "d"))
    album = chord(header)(body)
    eventually(lambda: runs(system, "hide"), "its errback runs")
    failed = album.parent.results[1]
    assert wxcheck_command(system, "replay", failed.id, "--yes").returncode == 0
    eventually(lambda: system.app.AsyncResult(failed.id).state == "SUCCESS", "the part passes")
    assert runs(system, "album") == []
    assert album.state == "FAILURE"


def test_the_list_and_the_replay_say_what_they_do(system: System) -> None:
    assert wxcheck_command(system, "dead").stdout == "No check waits to be replayed.\n"
    assert wxcheck_command(system, "replay", "--all", "--yes").stdout == "No check waits to be replayed.\n"
    assert wxcheck_command(system, "replay").returncode == 2
    assert wxcheck_command(system, "replay", "--all", "some-id").returncode == 2
    results = [text(system, words("-1*5")).apply_async() for _ in range(2)]
    for result in results:
        failure_of(result)
    eventually(lambda: len(listed(system)) == 2, "both are kept")
    table = wxcheck_command(system, "dead").stdout
    assert all(result.id in table for result in results)
    assert "sandbox" not in table
    dry = wxcheck_command(system, "replay", "--all", "--dry-run")
    assert dry.stdout.endswith("2 would be replayed.\n")
    assert (
        wxcheck_command(system, "replay", "--failure", "PushTimeout", "--yes").stdout
        == "No check waits to be replayed.\n"
    )
    assert len(listed(system)) == 2


# -- the store ---------------------------------------------------------------------------------------------------------


def of(store: PlacesWorld, *, with_content: bool = True) -> DeadLetters:
    return DeadLetters(store.redis, 7, with_content=with_content)


def bury(store: PlacesWorld, task_id: str, *, size: int = 0, letters: DeadLetters | None = None) -> Held:
    """A check whose push never came."""
    message = json.dumps({"headers": {"task": wxcheck.CHECK_MEDIA}, "body": "x" * size})
    (held,) = store.held(picture_in_lane(task_id)._replace(text=message))
    letter = (letters or of(store)).letter_of(wxcheck.CHECK_MEDIA, message, held.appid, PushTimeout("t"))
    assert store.places.finish(held, Ended("timeout", letter=letter)) == "ended"
    return held


def kept(store: PlacesWorld) -> list[str]:
    return [letter.task_id for letter in of(store).letters()]


def test_what_can_be_mended_is_kept_and_nothing_else(store: PlacesWorld) -> None:
    message = json.dumps({"headers": {"task": wxcheck.CHECK_TEXT}})
    for failure in (
        PlatformUnavailable(-1),
        PushTimeout("t"),
        MediaUnavailable(-1008, ""),
        CheckRefused(48001, "", ""),
    ):
        assert of(store).letter_of(wxcheck.CHECK_TEXT, message, "wx1", failure)
    for end in (InvalidCheck("x"), StaleCheck(1, 2), CheckRefused(87014, "", ""), ValueError(), {"a": "verdict"}):
        assert not of(store).letter_of(wxcheck.CHECK_TEXT, message, "wx1", end)
    assert not DeadLetters(store.redis, 0, with_content=True).letter_of(
        wxcheck.CHECK_TEXT, message, "wx1", PushTimeout("t")
    )


def test_a_run_that_did_not_end_the_check_keeps_nothing(store: PlacesWorld) -> None:
    (held,) = store.held(text_in_lane("task"))
    late = held._replace(run="another")
    assert store.places.finish(late, Ended("failed", letter="{}")) == "lost"
    assert kept(store) == []


def test_the_newest_are_kept_where_there_are_too_many(store: PlacesWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.places.places.MOST_LETTERS", 3)
    for number in range(5):
        bury(store, f"task-{number}")
    assert kept(store) == ["task-4", "task-3", "task-2"]
    assert store.redis.hget(keys.COUNTERS, "dead_dropped") == "2"


def test_the_newest_are_kept_where_they_are_too_large(store: PlacesWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.places.places.MOST_BYTES", 5000)
    for number in range(4):
        bury(store, f"task-{number}", size=1500)
    bury(store, "too large", size=6000)
    assert kept(store) == ["task-3", "task-2"]
    size = sum(len(letter) for letter in store.redis.hvals(keys.DEAD_LETTERS))
    assert int(str(store.redis.get(keys.DEAD_BYTES))) == size <= 5000


def test_they_go_when_their_days_are_over(store: PlacesWorld) -> None:
    bury(store, "old")
    bury(store, "new")
    store.redis.zadd(keys.DEAD, {"old": 1})
    of(store).decay()
    assert kept(store) == ["new"]
    assert store.redis.hkeys(keys.DEAD_LETTERS) == ["new"]


def test_they_make_room_in_a_redis_that_is_full(store: PlacesWorld) -> None:
    for name in ("old", "dropped"):
        bury(store, name)
    store.redis.zadd(keys.DEAD, {"old": 1})
    store.redis.config_set("maxmemory", 1)
    try:
        of(store).decay()
        assert of(store).drop("dropped")
    finally:
        store.redis.config_set("maxmemory", 0)
    assert not store.redis.exists(keys.DEAD, keys.DEAD_LETTERS)


def test_without_content_a_check_is_listed_and_not_replayed(store: PlacesWorld) -> None:
    letters = of(store, with_content=False)
    bury(store, "task", size=100, letters=letters)
    (letter,) = letters.letters()
    assert not letter.has_content
    assert "xxx" not in str(store.redis.hget(keys.DEAD_LETTERS, "task"))
    assert letters.message("task") is None
    assert kept(store) == ["task"]


def test_a_replay_is_one_step_to_the_lane_and_the_letter_goes_with_it(store: PlacesWorld) -> None:
    bury(store, "task")
    again = picture_in_lane("task", is_replay=True)
    assert [store.file(again), store.file(again)] == [["filed"], ["gone"]]
    assert store.place("task") == "lane"
    assert not store.redis.exists(keys.DEAD, keys.DEAD_LETTERS)
    assert store.redis.get(keys.DEAD_BYTES) == "0"


def test_an_end_that_is_told_again_after_the_replay_keeps_nothing_and_publishes_nothing(store: PlacesWorld) -> None:
    """The answer to the first time may have been lost."""
    held = bury(store, "task")
    store.file(picture_in_lane("task", is_replay=True))
    assert store.places.finish(held, Ended("timeout", messages=[("app", "follow-up")], letter="{}")) == "lost"
    assert kept(store) == []
    assert not store.redis.exists("app")
    assert store.redis.hget(keys.COUNTERS, "dead_kept") == "1"
