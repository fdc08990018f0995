"""What the platform's quotas do to checks: they wait on the shelf, with no attempt lost, and nothing else waits."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import redis

import wxcheck
from tests.support.checks import (
    MEDIA_PATH,
    TEXT_PATH,
    failure_of,
    picture,
    send_media,
    send_text,
    verdict_of,
    words,
)
from tests.support.processes import eventually
from tests.support.system import APPID, OTHER_APPID, System, plain_client
from worker.errcodes import Meaning
from worker.lanes import CLOCK_MARGIN, opens_at

SHANGHAI = ZoneInfo("Asia/Shanghai")

LANES = [("text", send_text, words, TEXT_PATH), ("media", send_media, picture, MEDIA_PATH)]
every_lane = pytest.mark.parametrize(("lane", "send", "content", "path"), LANES, ids=["text", "media"])


def away_from_the_turn_of_a_minute(seconds: float) -> None:
    """Waits, if need be, until the minute lasts for so long: lanes open by themselves when it turns."""
    while 60 - time.time() % 60 < seconds:
        time.sleep(0.05)


@pytest.fixture
def system(system: System) -> System:
    away_from_the_turn_of_a_minute(4)
    return system


def on_shelf_until(system: System, result: Any) -> float:
    at = system.redis.zscore("wxcheck:shelf", result.id)
    assert at is not None
    return at


def held_until(system: System, lane: str) -> float:
    until = system.redis.get(f"wxcheck:hold:{APPID}:{lane}")
    assert until is not None
    return float(until)


def held(store: Any, result: Any) -> dict[str, Any]:
    """Waits until a check is on the shelf; its message."""
    eventually(lambda: store.zscore("wxcheck:shelf", result.id), f"{result.id} is on the shelf")
    message: dict[str, Any] = json.loads(store.get(f"wxcheck:shelved:{result.id}"))
    return message


def open_lanes(store: Any) -> None:
    """Brings the time forward to when every lane is open."""
    for pattern in ("wxcheck:hold:*", "wxcheck:wake:*"):
        for key in list(store.scan_iter(pattern)):
            store.delete(key)
    store.zadd("wxcheck:shelf", dict.fromkeys(store.zrange("wxcheck:shelf", 0, -1), time.time()))


@every_lane
def test_a_minute_quota_holds_the_lane_to_the_next_minute_and_the_check_comes_back(
    system: System, lane: str, send: Any, content: Any, path: str
) -> None:
    result = send(system.app, content("44991*1", "risky"))
    assert held(system.redis, result)["rest"]["retries"] == 0
    until = held_until(system, lane)
    assert (until - CLOCK_MARGIN) % 60 == 0
    assert 0 < until - time.time() <= 60.5
    assert 0 < system.redis.pttl(f"wxcheck:hold:{APPID}:{lane}") <= 60_500
    assert on_shelf_until(system, result) >= until - 0.001
    assert system.counters()[f"held_{lane}"] == 1
    assert not result.ready()

    open_lanes(system.redis)
    assert verdict_of(result)["suggest"] == "risky"
    assert system.calls(path) == 2
    eventually(lambda: not list(system.redis.scan_iter("wxcheck:shel*")), "the shelf is empty")


@every_lane
def test_a_held_check_loses_no_attempt(system: System, lane: str, send: Any, content: Any, path: str) -> None:
    # one fault, one hold, then faults without end: four retries in all
    result = send(system.app, content("-1*1", "44991*1", "-1"))
    assert held(system.redis, result)["rest"]["retries"] == 1
    open_lanes(system.redis)
    failure = failure_of(result)
    assert (type(failure), failure.args) == (wxcheck.PlatformUnavailable, (-1,))
    assert system.calls(path) == 5 + 1


@every_lane
def test_a_check_that_meets_a_held_lane_is_not_sent(
    system: System, lane: str, send: Any, content: Any, path: str
) -> None:
    first = send(system.app, content("44991*1"))
    held(system.redis, first)
    second = send(system.app, content("risky"))
    held(system.redis, second)
    assert system.calls(path) == 1
    # one after the other at the lane's rate, not all in the first moment
    apart = on_shelf_until(system, second) - on_shelf_until(system, first)
    assert apart == pytest.approx(60 / (4_000 if lane == "text" else 2_000), rel=0.01)
    open_lanes(system.redis)
    assert [verdict_of(first)["suggest"], verdict_of(second)["suggest"]] == ["pass", "risky"]


def test_a_held_lane_holds_neither_the_other_one_nor_another_mini_program(system: System) -> None:
    held(system.redis, send_text(system.app, words("44991*1")))
    assert verdict_of(send_media(system.app, picture("risky")))["suggest"] == "risky"
    assert verdict_of(send_text(system.app, words("risky"), appid=OTHER_APPID))["suggest"] == "risky"
    held(system.redis, send_media(system.app, picture("44991*1"), appid=OTHER_APPID))
    assert verdict_of(send_media(system.app, picture("risky")))["suggest"] == "risky"


def test_the_quota_of_the_sandbox_itself_is_kept_too(system: System) -> None:
    system.tell_sandbox(text_per_minute=2)
    passed = [verdict_of(send_text(system.app, words())) for _ in range(2)]
    assert [verdict["suggest"] for verdict in passed] == ["pass", "pass"]
    third = send_text(system.app, words())
    held(system.redis, third)
    system.tell_sandbox(text_per_minute=100)
    open_lanes(system.redis)
    assert verdict_of(third)["suggest"] == "pass"


def test_too_many_calls_in_a_second_hold_the_lane_for_a_second(system: System) -> None:
    began = time.monotonic()
    result = send_text(system.app, words("44990*1", "risky"))
    assert verdict_of(result)["suggest"] == "risky"
    assert time.monotonic() - began >= 1
    assert system.calls(TEXT_PATH) == 2


@pytest.mark.parametrize("errcode", [44991, 45011])
def test_both_codes_of_a_minute_quota_hold_the_lane(system: System, errcode: int) -> None:
    result = send_text(system.app, words(f"{errcode}*1"))
    held(system.redis, result)
    open_lanes(system.redis)
    assert verdict_of(result)["suggest"] == "pass"


def test_a_day_quota_holds_the_lane_to_midnight_in_shanghai(system: System) -> None:
    result = send_text(system.app, words("45009*1", "risky"))
    message = held(system.redis, result)
    assert message["rest"]["retries"] == 0
    until = held_until(system, "text") - CLOCK_MARGIN
    opening = datetime.fromtimestamp(until, SHANGHAI)
    assert (opening.hour, opening.minute, opening.second) == (0, 0, 0)
    assert 0 < until + CLOCK_MARGIN - time.time() <= 86_400.5
    open_lanes(system.redis)
    assert verdict_of(result)["suggest"] == "risky"


def test_a_held_check_keeps_its_chain_its_headers_and_its_arguments_hidden(system: System) -> None:
    publish = system.app.signature("application.publish", args=("item",), queue="application")
    check = system.app.signature(wxcheck.CHECK_TEXT, args=(words("44991*1", "risky"),), queue=wxcheck.TEXT_QUEUE)
    last = (check | publish).apply_async(headers={"x_tenant": "t-9"})
    message = held(system.redis, last.parent)
    assert message["rest"]["headers"]["x_tenant"] == "t-9"
    open_lanes(system.redis)
    assert verdict_of(last) == {"item": "item", "shown": False}


def test_a_worker_that_is_killed_loses_no_check_that_is_on_the_shelf(system: System) -> None:
    # another database of the same Redis: other queues, where no worker of other tests sweeps
    url = system.redis_url.removesuffix("/0") + "/3"
    app = plain_client(url)
    with redis.Redis.from_url(url, decode_responses=True) as store, app:
        worker = system.worker("doomed", "-c", "2", queues="wxcheck.text", WXCHECK_REDIS_URL=url)
        away_from_the_turn_of_a_minute(4)
        results = [send_text(app, words("44991*1", "risky"))]
        held(store, results[0])
        results += [send_text(app, words("risky")) for _ in range(5)]
        for result in results:
            held(store, result)
        worker.kill()
        open_lanes(store)
        heir = system.worker("heir", "-c", "2", queues="wxcheck.text", WXCHECK_REDIS_URL=url)
        assert [verdict_of(result)["suggest"] for result in results] == ["risky"] * 6
        assert heir.stop() == 0
        app.backend.result_consumer.subscribed_to.clear()


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).timestamp()


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-03-01 00:00:00", "2026-03-02 00:00:00"),
        ("2026-03-01 12:34:56.7", "2026-03-02 00:00:00"),
        ("2026-03-01 23:59:59.9", "2026-03-02 00:00:00"),
        ("2026-12-31 23:59:59.999", "2027-01-01 00:00:00"),
        # still the day before in UTC
        ("2026-03-01 07:59:59.9", "2026-03-02 00:00:00"),
        ("2024-02-28 23:00:00", "2024-02-29 00:00:00"),
    ],
)
def test_a_day_ends_at_midnight_in_shanghai(now: str, opens: str) -> None:
    assert opens_at(Meaning.SNOOZE_DAY, at(now)) == at(opens) + CLOCK_MARGIN


@pytest.mark.parametrize(("now", "opens"), [(0.0, 60), (59.9, 60), (60.0, 120), (1_700_000_000.5, 1_700_000_040)])
def test_a_minute_ends_with_the_minute_of_the_clock(now: float, opens: float) -> None:
    assert opens_at(Meaning.SNOOZE_MINUTE, now) == opens + CLOCK_MARGIN


def test_a_second_is_a_whole_one() -> None:
    assert opens_at(Meaning.SNOOZE_SECOND, 17.25) == 18.25
