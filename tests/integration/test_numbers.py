"""The board's numbers, read from a system at work, agree with what was sent through.

Tests: status.numbers, status.counted, status.lanes, store.watch.reporter
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from config.settings import Settings
from status.numbers import Numbers
from store.keys import LATEST
from tests.support.checks import (
    ended,
    failure_of,
    media_push,
    parked,
    picture,
    push,
    send_media,
    send_text,
    verdict_of,
    waiting,
    words,
)
from tests.support.processes import eventually
from tests.support.system import APPID, System, plain_client


@pytest.fixture
def numbers(system: System, monkeypatch: pytest.MonkeyPatch) -> Iterator[Numbers]:
    nothing_is_yet_to_be_counted(system)
    for name, value in system.environment.items():
        monkeypatch.setenv(name, value)
    app = plain_client(system.redis_url)
    yield Numbers(Settings(_env_file=None), app)
    app.close()


def nothing_is_yet_to_be_counted(system: System) -> None:
    """Sends a text and waits until it is counted. The worker writes once a second, each time all that it has counted,
    so what other tests sent through before is written by then too, and is forgotten with it."""
    verdict_of(send_text(system.app, words("label=20012"), openid="o" * 28, scene=2))
    field = "verdict|text|risky|20012"
    eventually(lambda: system.redis.hexists(LATEST, field), "what was counted before is written")
    system.forget()


def lane(read: dict[str, Any], name: str, appid: str = APPID) -> dict[str, Any]:
    return next(lane for lane in read["lanes"] if (lane["appid"], lane["lane"]) == (appid, name))


def sent(read: dict[str, Any], name: str) -> int:
    return sum(minute[1] for minute in lane(read, name)["hour"])


def test_the_curve_and_the_verdicts_agree_with_what_was_sent_through(system: System, numbers: Numbers) -> None:
    for directive in ("pass", "pass", "risky", "review"):
        verdict_of(send_text(system.app, words(directive), openid="o" * 28, scene=2))
    verdict_of(send_media(system.app, picture("risky")))
    eventually(lambda: sum(found["hour"] for found in numbers.read()["verdicts"]) == 5, "all five are counted")
    read = numbers.read()
    texts = {found["suggest"]: found["hour"] for found in read["verdicts"] if found["kind"] == "text"}
    assert texts == {"pass": 2, "risky": 1, "review": 1}
    assert [(found["suggest"], found["day"]) for found in read["verdicts"] if found["kind"] == "image"] == [
        ("risky", 1)
    ]
    assert (sent(read, "text"), sent(read, "media")) == (4, 1)
    assert lane(read, "text")["minute"]["used"] >= 4
    assert lane(read, "text")["minute"]["limit"] == 4000
    assert lane(read, "text")["state"] == "open"
    assert read["waiting"]["delay"]["count"] + read["waiting"]["hour"]["early"] == 1
    json.dumps(read)


def test_what_waits_is_counted_with_its_age_and_the_queues_with_their_workers(system: System, numbers: Numbers) -> None:
    check = send_media(system.app, picture("lost"))
    trace_id = waiting(check)
    parked(system, trace_id)
    read = numbers.read()
    assert read["waiting"]["count"] == 1
    assert 0 <= read["waiting"]["oldest_seconds"] < 60
    queues = dict.fromkeys(("wxcheck.text", "wxcheck.media", "wxcheck.push"), 1)
    eventually(
        lambda: {queue["name"]: queue["workers"] for queue in numbers.read()["queues"]} == queues,
        "each queue has its worker",
    )
    push(system, media_push(trace_id))
    ended(check)
    # one more of the same, and one that nobody waits for
    push(system, media_push(trace_id))
    push(system, media_push("0123abcd-01234567-89abcdef"))
    eventually(
        lambda: {"matched": 1, "repeated": 1, "early": 1}.items() <= numbers.read()["waiting"]["hour"].items(),
        "the pushes are counted by what became of them",
    )
    read = numbers.read()
    assert read["waiting"]["count"] == 0
    assert read["waiting"]["delay"]["p50"] is not None


def test_a_failure_is_shown_with_its_errcode_and_its_remedy_and_without_content(
    system: System, numbers: Numbers
) -> None:
    check = send_text(system.app, words("errcode=61010"), openid="o" * 28, scene=2)
    failure_of(check)
    bad = send_text(system.app, 7)
    failure_of(bad)
    eventually(lambda: len(numbers.read()["failures"]["newest"]) == 2, "both are shown")
    read = numbers.read()
    invalid, refused = read["failures"]["newest"]
    assert (refused["name"], refused["errcode"], refused["appid"], refused["task_id"]) == (
        "CheckRefused",
        61010,
        APPID,
        check.id,
    )
    assert "2 hours" in refused["remedy"]["en"]
    assert (invalid["name"], invalid["errcode"]) == ("InvalidCheck", None)
    assert {(found["name"], found["errcode"], found["hour"]) for found in read["failures"]["classes"]} == {
        ("CheckRefused", 61010, 1),
        ("InvalidCheck", None, 1),
    }
    assert "sandbox:" not in json.dumps(read)
    (in_lane,) = [minute for minute in lane(read, "text")["hour"] if minute[1]]
    assert in_lane[3] == 1


def test_processes_say_that_they_run_and_what_they_consume(system: System, numbers: Numbers) -> None:
    eventually(lambda: len(numbers.read()["processes"]) == 2, "worker and endpoint say that they run")
    endpoint, worker = sorted(numbers.read()["processes"], key=lambda process: process["kind"])
    assert worker["name"] == f"worker@{os.uname().nodename}"
    assert worker["queues"] == ["wxcheck.media", "wxcheck.push", "wxcheck.text"]
    assert (worker["slots"], worker["pool"]) == (96, "threads")
    assert (endpoint["kind"], endpoint["queues"]) == ("endpoint", [])
    assert abs(worker["clock_offset_seconds"]) < 5


def test_a_closed_lane_says_why_when_it_opens_and_how_long_its_backlog_takes(system: System, numbers: Numbers) -> None:
    system.tell_sandbox(text_per_day=0)
    checks = [send_text(system.app, words()) for _ in range(20)]
    try:
        eventually(lambda: lane(numbers.read(), "text")["state"] == "spent", "the lane is closed for the day")
        eventually(lambda: lane(numbers.read(), "text")["backlog"] == 20, "all of them wait")
        read = numbers.read()
        closed = lane(read, "text")
        assert "45009" in closed["why"]["en"]
        assert closed["opens_at"] > read["at"]
        assert closed["backlog_seconds"] > closed["opens_at"] - read["at"]
        assert lane(read, "media")["state"] == "open"
        eventually(lambda: numbers.read()["troubles"][0]["key"] == "day_quota_gone", "it is what is said first")
        assert "20 checks wait" in numbers.read()["troubles"][0]["said"]["en"]
    finally:
        system.reset_sandbox()
        system.open_lanes()
    assert {verdict_of(check)["suggest"] for check in checks} == {"pass"}


def test_counts_of_the_last_hour_and_the_last_day_are_told_apart(system: System, numbers: Numbers) -> None:
    hour = int(time.time() // 3600) - 5
    system.redis.hset(f"wxcheck:{{statistics}}:h:{hour}", "verdict|text|pass|100", 40)
    system.redis.hset(f"wxcheck:{{statistics}}:h:{hour - 30}", "verdict|text|pass|100", 7)
    (found,) = [found for found in numbers.read()["verdicts"] if found["kind"] == "text"]
    assert (found["hour"], found["day"]) == (0, 40)
