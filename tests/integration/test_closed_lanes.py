"""A refusal of quota closes the lane, and its checks wait in it, in nobody's hands, no attempt lost.

Tests: tasks.check, worker.call, store.places.closings
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import redis

import wxcheck
from config.lanes import Lane
from store.places.shard import SHARD
from store.places.vouching import vouch
from tests.support.checks import failure_of, picture, send_media, send_text, verdict_of, words
from tests.support.processes import eventually
from tests.support.queues import in_hand, in_lane, kept_headers, on_shelf
from tests.support.system import APPID, OTHER_APPID, System, plain_client
from wechat.checks import MEDIA_PATH, TEXT_PATH

SHANGHAI = ZoneInfo("Asia/Shanghai")
#: seconds after the turn of a minute or a day at which a lane opens
CLOCK_MARGIN = 0.5

LANES = [("text", send_text, words, TEXT_PATH), ("media", send_media, picture, MEDIA_PATH)]
every_lane = pytest.mark.parametrize(("lane", "send", "content", "path"), LANES, ids=["text", "media"])


def away_from_the_turn_of_a_minute(seconds: float) -> None:
    """Waits, if need be, until the minute lasts for so long: lanes open by themselves when it turns."""
    while 60 - time.time() % 60 < seconds:
        time.sleep(0.05)


@pytest.fixture
def system(system: System) -> Iterator[System]:
    away_from_the_turn_of_a_minute(6)
    yield system
    system.open_lanes()


def quota_of(lane: Lane, appid: str = APPID) -> str:
    return SHARD.of_lane(lane, appid)[1]


def closed_until(system: System, lane: Lane) -> float:
    """Until when a lane is closed, in seconds since the epoch."""
    until = system.redis.hget(quota_of(lane), "closed_until")
    assert until is not None
    return int(until) / 1e6


def waits(store: redis.Redis, result: Any, lane: Lane = "text", appid: str = APPID) -> None:
    """Waits until a lane is closed, and a check is back in it, and in nobody's hands."""
    # before a worker has taken it, it is in its lane too
    eventually(lambda: store.hget(quota_of(lane, appid), "closed_until"), f"the {lane} lane of {appid} is closed")
    eventually(lambda: result.id in in_lane(store, appid, lane), f"{result.id} is in its lane")
    eventually(lambda: not in_hand(store), "nothing is in hand")
    assert result.id in in_lane(store, appid, lane)
    assert on_shelf(store, result.id) is None


@every_lane
def test_a_minute_quota_closes_the_lane_to_the_next_minute_and_the_check_comes_back(
    system: System, lane: Lane, send: Any, content: Any, path: str
) -> None:
    result = send(system.app, content("44991*1", "risky"))
    waits(system.redis, result, lane)
    until = closed_until(system, lane)
    assert (until - CLOCK_MARGIN) % 60 == pytest.approx(0, abs=0.001)
    assert 0 < until - time.time() <= 60.5
    assert system.counters()[f"closed_{lane}"] == 1
    assert not result.ready()
    # it is not tried while the lane is closed
    time.sleep(1.5)
    assert system.calls(path) == 1

    system.open_lanes()
    assert verdict_of(result)["suggest"] == "risky"
    assert system.calls(path) == 2


@every_lane
def test_a_check_of_a_closed_lane_loses_no_attempt(
    system: System, lane: Lane, send: Any, content: Any, path: str
) -> None:
    # one fault, one refusal of the quota, then faults without end: four retries in all
    result = send(system.app, content("-1*1", "44991*1", "-1"))
    waits(system.redis, result, lane)
    assert kept_headers(system.redis, result.id)["retries"] == 1
    system.open_lanes()
    failure = failure_of(result)
    assert (type(failure), failure.args) == (wxcheck.PlatformUnavailable, (-1,))
    assert system.calls(path) == 5 + 1


@every_lane
def test_a_check_that_meets_a_closed_lane_is_not_sent(
    system: System, lane: Lane, send: Any, content: Any, path: str
) -> None:
    first = send(system.app, content("44991*1"))
    waits(system.redis, first, lane)
    second = send(system.app, content("risky"))
    waits(system.redis, second, lane)
    assert system.calls(path) == 1
    assert in_lane(system.redis, APPID, lane) == [first.id, second.id]
    system.open_lanes()
    assert [verdict_of(first)["suggest"], verdict_of(second)["suggest"]] == ["pass", "risky"]


def test_a_closed_lane_closes_neither_the_other_one_nor_another_mini_program(system: System) -> None:
    text = send_text(system.app, words("44991*1"))
    waits(system.redis, text)
    assert verdict_of(send_media(system.app, picture("risky")))["suggest"] == "risky"
    assert verdict_of(send_text(system.app, words("risky"), appid=OTHER_APPID))["suggest"] == "risky"
    media = send_media(system.app, picture("44991*1"), appid=OTHER_APPID)
    waits(system.redis, media, "media", OTHER_APPID)
    assert verdict_of(send_media(system.app, picture("risky")))["suggest"] == "risky"
    system.open_lanes()
    assert [verdict_of(result)["suggest"] for result in (text, media)] == ["pass"] * 2


def test_the_quota_of_the_sandbox_itself_is_kept_too(system: System) -> None:
    system.tell_sandbox(text_per_minute=2)
    passed = [verdict_of(send_text(system.app, words())) for _ in range(2)]
    assert [verdict["suggest"] for verdict in passed] == ["pass", "pass"]
    third = send_text(system.app, words())
    waits(system.redis, third)
    system.tell_sandbox(text_per_minute=100)
    system.open_lanes()
    assert verdict_of(third)["suggest"] == "pass"


def test_too_many_calls_in_a_second_close_the_lane_for_a_second(system: System) -> None:
    began = time.monotonic()
    result = send_text(system.app, words("44990*1", "risky"))
    assert verdict_of(result)["suggest"] == "risky"
    assert time.monotonic() - began >= 1
    assert system.calls(TEXT_PATH) == 2


def test_after_a_lane_was_closed_less_is_sent_for_a_while(system: System) -> None:
    result = send_text(system.app, words("44991*1"))
    waits(system.redis, result)
    quota = quota_of("text")
    assert system.redis.hget(quota, "cut") == "1"
    assert int(system.redis.hget(quota, "cut_until") or 0) / 1e6 - time.time() == pytest.approx(600, abs=10)
    system.open_lanes()
    assert verdict_of(result)["suggest"] == "pass"


@pytest.mark.parametrize("errcode", [44991, 45011])
def test_both_codes_of_a_minute_quota_close_the_lane(system: System, errcode: int) -> None:
    result = send_text(system.app, words(f"{errcode}*1"))
    waits(system.redis, result)
    assert system.redis.hget(quota_of("text"), "why") == "minute"
    system.open_lanes()
    assert verdict_of(result)["suggest"] == "pass"


def test_a_day_quota_closes_the_lane_to_midnight_in_shanghai(system: System) -> None:
    result = send_text(system.app, words("45009*1", "risky"))
    waits(system.redis, result)
    assert kept_headers(system.redis, result.id)["retries"] == 0
    until = closed_until(system, "text") - CLOCK_MARGIN
    opening = datetime.fromtimestamp(round(until, 3), SHANGHAI)
    assert (opening.hour, opening.minute, opening.second) == (0, 0, 0)
    assert 0 < until + CLOCK_MARGIN - time.time() <= 86_400.5
    # somebody else's minute is over, and says nothing of the rate
    assert system.redis.hget(quota_of("text"), "cut") is None
    system.open_lanes()
    assert verdict_of(result)["suggest"] == "risky"


def test_a_check_of_a_closed_lane_keeps_its_chain_its_headers_and_its_arguments_hidden(system: System) -> None:
    publish = system.app.signature("application.publish", args=("item",), queue="application")
    content = words("44991*1", "risky")
    check = system.app.signature(wxcheck.CHECK_TEXT, args=(content,), queue=wxcheck.TEXT_QUEUE)
    last = (check | publish).apply_async(headers={"x_tenant": "t-9"})
    waits(system.redis, last.parent)
    assert kept_headers(system.redis, last.parent.id)["x_tenant"] == "t-9"
    system.open_lanes()
    assert verdict_of(last) == {"item": "item", "shown": False}
    (worker,) = [running for running in system.started if running.name == "worker"]
    assert content not in worker.output


def test_a_worker_that_is_killed_loses_no_check_of_a_closed_lane(system: System) -> None:
    url = system.database_url(3)
    environment = {"WXCHECK_REDIS_URL": url}
    app = plain_client(url)
    with redis.Redis.from_url(url, decode_responses=True) as store, app:
        store.flushdb()
        vouch(store, APPID)
        worker = system.worker("doomed", "-c", "4", queues="wxcheck.text", **environment)
        try:
            results = [send_text(app, words("45009*1", "risky"))]
            eventually(lambda: store.hget(quota_of("text"), "closed_until"), "the lane is closed")
            results += [send_text(app, words("risky")) for _ in range(5)]
            ids = {result.id for result in results}
            eventually(lambda: set(in_lane(store, APPID)) == ids, "all are in their lane")
            eventually(lambda: not in_hand(store), "nothing is in hand")
        finally:
            worker.kill()
        store.hdel(quota_of("text"), "closed_until", "why")
        heir = system.worker("heir", "-c", "4", queues="wxcheck.text", **environment)
        assert [verdict_of(result)["suggest"] for result in results] == ["risky"] * 6
        assert heir.stop() == 0
