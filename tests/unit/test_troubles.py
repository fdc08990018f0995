"""The troubles are told from the numbers, the worst first, and one that was mended is told no more.

Tests: status.troubles, status.endpoint_troubles, status.message_troubles, status.stuck_troubles, config.names
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest

from config.names import UNREADABLE
from status.troubles import Evidence, find_troubles
from wechat.push.outcomes import Outcome, Refusal

APPID = "wx0123456789abcdef"
NOW = 1_800_000_000.0
NONE_STUCK = {"count": 0, "oldest_seconds": None}


def numbers() -> dict[str, Any]:
    """The numbers of a system that is well."""
    lane = {
        "appid": APPID,
        "minute": {"used": 1, "limit": 4000},
        "day": {"used": 1, "limit": 2_000_000},
        "state": "open",
        "why": None,
        "opens_at": None,
        "backlog": 0,
        "backlog_seconds": 0.0,
    }
    process = {"age_seconds": 1.0, "clock_offset_seconds": 0.01, "version": "1", "servers": {}}
    return {
        "at": NOW,
        "lanes": [{**lane, "lane": "text"}, {**lane, "lane": "media"}],
        "queues": [
            {"name": f"wxcheck.{name}", "messages": 0, "ready": 0, "workers": 1} for name in ("text", "media", "push")
        ],
        "waiting": {"count": 0, "oldest_seconds": None, "hour": {"missing": 0}},
        "failures": {"newest": []},
        "follow_ups": [],
        "stuck": {
            "inbox": {},
            "lanes": {"text": NONE_STUCK, "media": NONE_STUCK},
            "ready": {"text": NONE_STUCK, "media": NONE_STUCK, "push": NONE_STUCK},
            "due": NONE_STUCK,
            "outbox": NONE_STUCK,
            "ends": 0,
        },
        "processes": [{**process, "name": "w@h", "kind": "worker"}, {**process, "name": "h:1", "kind": "endpoint"}],
    }


def evidence(**changes: Any) -> Evidence:
    return Evidence(latest={}, minutes={int(NOW // 60): Counter()}, redis_faults=[], broker_fault=None)._replace(
        **changes
    )


def keys(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    for trouble in found:
        for words in (trouble["said"], trouble["remedy"]):
            assert words.keys() == {"en", "zh"}
            assert all(words.values())
    return [(trouble["key"], trouble["level"]) for trouble in found]


def refused(errcode: int, ago: float = 5) -> dict[str, Any]:
    return {"at": NOW - ago, "name": "CheckRefused", "errcode": errcode, "appid": APPID, "rid": None, "task_id": "t"}


def test_a_system_that_is_well_has_no_trouble() -> None:
    assert find_troubles(numbers(), evidence()) == []


@pytest.mark.parametrize(
    ("errcode", "remedy"),
    [
        (40125, "WXCHECK_SECRET"),
        (40164, "IP list"),
        (48001, "permissions"),
        (40234, "API security"),
        (40235, "API security"),
    ],
)
def test_an_appid_that_the_platform_refuses_is_told_with_what_to_do(errcode: int, remedy: str) -> None:
    told = numbers()
    told["failures"]["newest"] = [refused(errcode)]
    (found,) = find_troubles(told, evidence())
    assert (found["key"], found["level"]) == ("appid_refused", "bad")
    assert str(errcode) in found["said"]["en"]
    assert remedy in found["remedy"]["en"]


def test_a_refused_appid_is_mended_once_a_later_call_goes_out() -> None:
    told = numbers()
    told["failures"]["newest"] = [refused(40125, ago=60)]
    assert find_troubles(told, evidence(latest={f"calls|{APPID}|media|sent": NOW - 10})) == []
    assert find_troubles(told, evidence(latest={f"calls|{APPID}|media|sent": NOW - 90})) != []


def test_a_refused_check_whose_appid_is_not_refused_is_no_trouble() -> None:
    told = numbers()
    told["failures"]["newest"] = [refused(61010)]
    assert find_troubles(told, evidence()) == []


def test_a_platform_that_answers_nothing_usable_is_away_and_a_few_failing_calls_are_not() -> None:
    sent, retried = f"calls|{APPID}|text|sent", f"calls|{APPID}|text|retried"
    latest = {sent: NOW - 2, retried: NOW - 2}
    minute = int(NOW // 60)
    away = evidence(latest=latest, minutes={minute: Counter({sent: 10, retried: 9})})
    assert keys(find_troubles(numbers(), away)) == [("platform_away", "bad")]
    assert find_troubles(numbers(), away._replace(minutes={minute: Counter({sent: 100, retried: 9})})) == []
    # it answers again
    assert find_troubles(numbers(), away._replace(latest={sent: NOW, retried: NOW - 60})) == []


def test_a_queue_that_no_worker_consumes_is_named_with_the_command_that_starts_one() -> None:
    told = numbers()
    told["queues"][2].update(workers=0, messages=7, ready=2)
    (found,) = find_troubles(told, evidence())
    assert (found["key"], found["level"]) == ("no_worker", "bad")
    assert "wxcheck.push; 9 messages" in found["said"]["en"]
    assert found["remedy"]["en"].endswith("celery -A worker worker -Q wxcheck.push")


@pytest.mark.parametrize(("waiting", "level"), [(0, "warn"), (3, "bad")])
def test_a_missing_endpoint_is_worse_where_checks_wait_for_pushes(waiting: int, level: str) -> None:
    told = numbers()
    del told["processes"][1]
    told["waiting"]["count"] = waiting
    assert keys(find_troubles(told, evidence())) == [("no_endpoint", level)]


@pytest.mark.parametrize("outcome", [refusal.outcome for refusal in Refusal.__subclasses__()])
def test_each_refusal_of_a_push_is_told_with_its_remedy_until_a_push_is_taken(outcome: Outcome) -> None:
    told = numbers()
    told["waiting"]["count"] = 1
    latest = {f"request|{outcome}": NOW - 20}
    assert keys(find_troubles(told, evidence(latest=latest))) == [(f"push_{outcome}", "bad")]
    checked = evidence(latest={**latest, "request|url_check": NOW - 5})
    assert keys(find_troubles(told, checked)) == [(f"push_{outcome}", "bad")]
    assert find_troubles(told, evidence(latest={**latest, "request|queued": NOW - 5})) == []
    assert find_troubles(told, evidence(latest={f"request|{outcome}": NOW - 601})) == []


@pytest.mark.parametrize(("seconds", "level"), [(120, "warn"), (900, "bad")])
def test_silence_while_checks_wait_points_at_the_push_url(seconds: float, level: str) -> None:
    told = numbers()
    told["waiting"].update(count=4, oldest_seconds=seconds)
    found = find_troubles(told, evidence())
    assert keys(found) == [("pushes_silent", level)]
    assert "push URL" in found[0]["remedy"]["en"]
    assert find_troubles(told, evidence(latest={"request|url_check": NOW - 30})) == found
    # some push has come since it began to wait, be it a refused one
    assert find_troubles(told, evidence(latest={"request|queued": NOW - 30})) == []


@pytest.mark.parametrize(
    ("state", "key", "level"),
    [("spent", "day_quota_gone", "bad"), ("closed", "lane_closed", "warn"), ("paused", "lane_paused", "warn")],
)
def test_a_lane_that_is_closed_says_until_when_and_how_many_wait(state: str, key: str, level: str) -> None:
    told = numbers()
    why = {"en": "why", "zh": "原因"}
    told["lanes"][0].update(state=state, why=why, opens_at=1_800_028_800.0, backlog=12, backlog_seconds=30.0)
    found = find_troubles(told, evidence())
    assert keys(found) == [(key, level)]
    assert "why; nothing is sent until 00:00:00 (UTC+8); 12 checks wait" in found[0]["said"]["en"]


@pytest.mark.parametrize(("offset", "level"), [(3600.0, "bad"), (-3600.0, "bad"), (10.0, "warn")])
def test_a_clock_that_is_off_is_told_with_the_process_that_has_it(offset: float, level: str) -> None:
    told = numbers()
    told["processes"][1]["clock_offset_seconds"] = offset
    found = find_troubles(told, evidence())
    assert keys(found) == [("clock_off", level)]
    assert "h:1" in found[0]["said"]["en"]
    assert ("ahead of" if offset > 0 else "behind") in found[0]["said"]["en"]


def test_a_redis_that_keeps_nothing_and_a_broker_that_is_away_are_told() -> None:
    fault = "it keeps nothing when it ends (appendonly no): set appendonly yes"
    found = find_troubles(numbers(), evidence(redis_faults=[fault], broker_fault="amqp://mq: refused"))
    assert keys(found) == [("broker_away", "bad"), ("redis_unsafe", "bad")]
    assert found[1]["remedy"]["en"].startswith("Set appendonly yes")


def test_what_is_bad_comes_before_what_is_doubtful() -> None:
    told = numbers()
    told["processes"][0]["clock_offset_seconds"] = 10.0
    told["processes"][1]["version"] = "2"
    told["queues"][0]["workers"] = 0
    before = copy.deepcopy(told)
    assert keys(find_troubles(told, evidence())) == [
        ("no_worker", "bad"),
        ("clock_off", "warn"),
        ("versions_differ", "warn"),
    ]
    assert told == before


@pytest.mark.parametrize(
    ("stuck", "key", "words"),
    [
        ({"inbox": {"wxcheck.push": 200.0}}, "inbox_stuck", ("wxcheck.push", "3 min")),
        (
            {"lanes": {"text": NONE_STUCK, "media": {"count": 2, "oldest_seconds": 7200.0}}},
            "lane_stuck",
            ("media lanes", "any: 2 lanes", "2.0 h"),
        ),
        (
            {"ready": {"text": NONE_STUCK, "media": NONE_STUCK, "push": {"count": 3, "oldest_seconds": 200.0}}},
            "ready_stuck",
            ("it: 3 ready for the workers on wxcheck.push", "3 min"),
        ),
        ({"due": {"count": 5, "oldest_seconds": 200.0}}, "due_stuck", ("on: 5, ", "3 min")),
        ({"outbox": {"count": 4, "oldest_seconds": 200.0}}, "outbox_stuck", ("outbox: 4, ", "3 min")),
        ({"ends": 3}, "ends_stuck", ("cannot be stored",)),
    ],
)
def test_what_is_stuck_is_told_unless_no_worker_runs(stuck: dict[str, Any], key: str, words: tuple[str, ...]) -> None:
    told = numbers()
    told["stuck"].update(stuck)
    found = find_troubles(told, evidence())
    assert keys(found) == [(key, "bad")]
    assert all(word in found[0]["said"]["en"] for word in words)
    for queue in told["queues"]:
        queue["workers"] = 0
    assert key not in dict(keys(find_troubles(told, evidence())))


def test_what_stands_for_want_of_the_workers_of_its_queue_is_told_as_that() -> None:
    told = numbers()
    late = {"count": 1, "oldest_seconds": 200.0}
    told["stuck"].update(lanes={"text": late, "media": NONE_STUCK}, ready={**told["stuck"]["ready"], "text": late})
    told["queues"][0]["workers"] = 0
    told["lanes"][0]["backlog"] = 11
    (found,) = find_troubles(told, evidence())
    assert found["key"] == "no_worker"
    assert "wxcheck.text; 11 messages and checks wait" in found["said"]["en"]


def test_an_end_that_could_not_be_stored_for_a_moment_is_no_trouble() -> None:
    told = numbers()
    told["stuck"]["ends"] = 2
    assert find_troubles(told, evidence()) == []


@pytest.mark.parametrize(("certain", "level"), [(True, "bad"), (False, "warn")])
def test_follow_ups_that_nobody_consumes_are_told_with_the_queue_and_how_many(certain: bool, level: str) -> None:
    told = numbers()
    told["follow_ups"] = [{"queue": "celery", "messages": 12, "certain": certain}]
    (found,) = find_troubles(told, evidence())
    assert keys([found]) == [("follow_ups_unconsumed", level)]
    assert "Follow-ups of checks wait in celery" in found["said"]["en"]
    assert found["said"]["en"].endswith(": 12.")
    assert "-Q celery" in found["remedy"]["en"]


def test_messages_that_could_not_be_run_are_told_by_why_with_their_queues_for_an_hour() -> None:
    counts = {"unreadable|wxcheck.text|content_type": 2, "unreadable|wxcheck.media|content_type": 1}
    minutes = {int(NOW // 60) - 50: Counter(counts), int(NOW // 60): Counter({"unreadable|other|no_id": 1})}
    latest = {**dict.fromkeys(counts, NOW - 3000), "unreadable|other|no_id": NOW - 1}
    found = find_troubles(numbers(), evidence(minutes=minutes, latest=latest))
    assert keys(found) == [("messages_no_id", "bad"), ("messages_content_type", "warn")]
    assert found[1]["said"]["en"].startswith("3 messages of the last hour in wxcheck.media, wxcheck.text could not be")
    assert 'serializer="json"' in found[1]["remedy"]["en"]


@pytest.mark.parametrize("reason", UNREADABLE)
def test_every_reason_for_which_a_message_cannot_be_run_has_its_remedy(reason: str) -> None:
    field = f"unreadable|wxcheck.push|{reason}"
    found = find_troubles(numbers(), evidence(minutes={int(NOW // 60): Counter({field: 1})}, latest={field: NOW}))
    assert keys(found) == [(f"messages_{reason}", "bad")]
