"""Workers take checks as permits come, and those taken in vain keep their place; small quotas make it visible.

Tests: worker.taking.feed, worker.celery_parts.consumer, worker.taking.room, worker.celery_parts.rate_command
"""

from __future__ import annotations

import bisect
import contextlib
import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import redis
from celery.result import AsyncResult

import wxcheck
from config.celery import SOCKET_TIMEOUT
from config.lanes import Lane
from store.places.shard import SHARD
from store.places.vouching import vouch
from tests.support.checks import failure_of, media_push, send_media, send_text, verdict_of
from tests.support.processes import PATIENCE, Running, eventually
from tests.support.queues import headers, in_hand, in_lane, kept_headers, look_at_lanes, on_shelf, queued
from tests.support.recorder import Arrival, Recorder
from tests.support.system import APPID, OTHER_APPID, QUEUES, SECRET, System, plain_client
from wechat.checks import MEDIA_PATH, TEXT_PATH

#: seconds; nothing of a closed lane is in anybody's hands for longer, where the machine stands still meanwhile too
IN_HAND = 20
#: checks that a worker has in hand of a lane that closes at once; those of them that may swap places
IN_HAND_AT_MOST, SWAPPED = 16, 3
TWO_PROGRAMS = json.dumps({OTHER_APPID: {"secret": SECRET}})

_databases = itertools.count()


def quota_of(lane: Lane = "text", appid: str = APPID) -> str:
    return SHARD.of_lane(lane, appid)[1]


class Place:
    """A database of a running Redis, with workers of its own and a platform that records what arrives."""

    def __init__(self, system: System, recorder: Recorder) -> None:
        self._system = system
        self.platform = recorder
        self.url = system.database_url(1 + next(_databases) % 15)
        self.store: redis.Redis = redis.Redis.from_url(self.url, decode_responses=True)
        self.store.flushdb()
        for appid in (APPID, OTHER_APPID):
            vouch(self.store, appid)
        self.app = plain_client(self.url)
        self._workers: list[Running] = []

    def worker(self, name: str, *arguments: str, queues: str = QUEUES, **settings: str) -> Running:
        """Checks for one Mini Program, where ``APPS`` does not name more."""
        environment = {"API_BASE": self.platform.url, "REDIS_URL": self.url, "APPS": "", **settings}
        named = {f"WXCHECK_{setting}": value for setting, value in environment.items()}
        # the worker may not get ready, and is to be ended all the same
        before = len(self._system.started)
        try:
            return self._system.worker(name, *arguments, queues=queues, **named)
        finally:
            self._workers += self._system.started[before:]

    def texts(self, count: int, name: str = "text", **options: Any) -> list[AsyncResult]:
        """Sends texts by name, at once: ``text-0``, ``text-1``, …"""
        arguments: dict[str, Any] = {key: options.pop(key) for key in ("appid", "openid", "scene") if key in options}
        return [
            self.app.send_task(
                wxcheck.CHECK_TEXT,
                kwargs={"content": f"{name}-{number}", **arguments},
                queue=wxcheck.TEXT_QUEUE,
                **options,
            )
            for number in range(count)
        ]

    def open_lanes(self) -> None:
        for key in self.store.scan_iter("wxcheck:{0}:quota:*"):
            self.store.hdel(key, "closed_until", "why", "cut", "cut_until", "opens")
        look_at_lanes(self.store)

    def is_closed(self, lane: Lane = "text", appid: str = APPID) -> bool:
        return bool(self.store.hexists(quota_of(lane, appid), "closed_until"))

    def stays_closed(self) -> None:
        """Waits until the lane of texts is closed, and has it stay so: a minute may be over at once."""
        eventually(self.is_closed, "the lane is closed")
        until = round((time.time() + 3600) * 1e6)
        self.store.hset(quota_of(), "closed_until", until)
        look_at_lanes(self.store)

    def close(self) -> None:
        for worker in self._workers:
            worker.kill()
        self.app.close()
        self.store.flushdb()
        self.store.close()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    system = System(tmp_path_factory.mktemp("flow"))
    try:
        yield system
    finally:
        system.close()


@pytest.fixture
def place(base: System) -> Iterator[Place]:
    with Recorder() as recorder:
        place = Place(base, recorder)
        try:
            yield place
        finally:
            place.close()


def arrived(place: Place, count: int, path: str = TEXT_PATH) -> None:
    eventually(lambda: len(place.platform.contents(path=path)) >= count, f"{count} checks arrive")


def outlast_leases(place: Place) -> None:
    """Lets the time pass after which others may run what a worker has in hand."""
    hand: list[Any] = place.store.zrange(SHARD.key("hand"), 0, -1)
    for task_id in hand:
        place.store.zadd(SHARD.key("hand"), {task_id: 1}, xx=True)
    tags: list[Any] = place.store.zrange("wxcheck:unacked_index", 0, -1)
    for tag in tags:
        place.store.zadd("wxcheck:unacked_index", {tag: 1}, xx=True)


def time_comes(place: Place, task_id: str, seconds: float = 0) -> None:
    """Lets a check leave the shelf in ``seconds``."""
    place.store.zadd(SHARD.key("shelf"), {task_id: (time.time() + seconds) * 1000}, xx=True)


def numbers(contents: list[str]) -> list[int]:
    return [int(content.rpartition("-")[2]) for content in contents]


def waiting(place: Place, results: list[AsyncResult]) -> list[int]:
    """The checks that wait in their lane, the next one first."""
    of = {result.id: number for number, result in enumerate(results)}
    return [of[task_id] for task_id in in_lane(place.store, APPID)]


def out_of_place(order: list[int]) -> int:
    """The number of those that must be taken out so that the others are in order."""
    tails: list[int] = []
    for number in order:
        place = bisect.bisect_left(tails, number)
        tails[place : place + 1] = [number]
    return len(order) - len(tails)


def is_kept(order: list[int]) -> bool:
    """True if all are there, and those that were never in hand stand as they were sent.

    Those that were in hand together swap places if their answers come far apart, as they do on a busy machine.
    """
    never = slice(IN_HAND_AT_MOST, None)
    everyone = list(range(len(order)))
    return sorted(order) == everyone and order[never] == everyone[never] and out_of_place(order) <= SWAPPED


# -- what goes back ----------------------------------------------------------------------------------------------------


def test_messages_that_are_given_back_keep_their_order(place: Place) -> None:
    place.platform.errcode = lambda _: 44991
    results = place.texts(30)
    place.worker("worker", TEXT_PER_MINUTE="1200")
    place.stays_closed()
    eventually(lambda: not in_hand(place.store), "nothing is in hand", IN_HAND)
    order = waiting(place, results)
    assert len(order) == 30
    assert is_kept(order), order
    refused = len(place.platform.arrivals)

    place.platform.errcode = lambda _: 0
    place.open_lanes()
    arrived(place, refused + 30)
    # threads that wait for their send times side by side may swap theirs, and no more
    order = numbers(place.platform.contents()[refused:])
    assert all(abs(number - position) <= 16 for position, number in enumerate(order)), order
    assert [verdict_of(result)["suggest"] for result in results] == ["pass"] * 30


def test_what_a_killed_worker_had_in_hand_goes_before_what_waits(place: Place) -> None:
    place.platform.seconds = 30
    first = place.texts(1)
    worker = place.worker("killed", "-c", "2", TEXT_PER_MINUTE="600")
    arrived(place, 1)
    rest = place.texts(5, name="later")
    worker.kill()
    place.platform.seconds = 0
    outlast_leases(place)
    place.worker("heir", "-c", "2", TEXT_PER_MINUTE="600")
    for result in first + rest:
        assert verdict_of(result)["suggest"] == "pass"
    contents = place.platform.contents()
    # the killed one had up to two in hand, and those of them that were fetched first come first
    assert contents[1].startswith("text-0") or contents[2].startswith("text-0"), contents


def test_a_worker_that_is_told_to_stop_gives_back_what_waits_for_permits_in_its_order(place: Place) -> None:
    results = place.texts(40)
    worker = place.worker("stopped", TEXT_PER_MINUTE="300")
    arrived(place, 5)
    assert worker.stop() == 0
    sent = numbers(place.platform.contents())
    assert waiting(place, results) == [number for number in range(40) if number not in sent]
    assert not in_hand(place.store)


def test_what_is_refused_while_a_worker_stops_stays_in_its_lane(place: Place) -> None:
    stops = threading.Event()

    def refused(_: Arrival) -> int:
        assert stops.wait(PATIENCE)
        return 45009

    place.platform.errcode = refused
    results = place.texts(10)
    worker = place.worker("stopped", TEXT_PER_MINUTE="6000", APPS=TWO_PROGRAMS, API_TIMEOUT="30")
    arrived(place, 4)
    worker.process.terminate()
    worker.wait_for("Warm shutdown")
    stops.set()
    assert worker.stop() == 0
    assert not in_hand(place.store)
    assert sorted(waiting(place, results)) == list(range(10))


def test_a_message_that_nobody_can_read_holds_up_nobody(place: Place) -> None:
    worker = place.worker("worker")
    eta = (datetime.now(UTC) + timedelta(seconds=60)).isoformat()
    named = {"task": wxcheck.CHECK_TEXT, "id": "1", "lang": "py", "eta": eta}
    nested = b"[[], " * 4000 + b"{}" + b"]" * 4000
    rubbish = [
        (b"\x80\x04\xff", "application/x-python-serialize", named),
        (b"\xff\xfe", "application/json", named),
        (b'[[], {"content": "x"}, {}]', "application/json", {"task": wxcheck.CHECK_TEXT, "lang": "py", "eta": eta}),
        (b'[[], {"appid": {"__type__": "decimal", "__value__": "x"}}, {}]', "application/json", {**named, "eta": None}),
        (nested, "application/json", {**named, "eta": None}),
    ]
    with place.app.producer_or_acquire() as producer:
        for body, kind, message_headers in rubbish:
            producer.publish(
                body,
                exchange="",
                routing_key=wxcheck.TEXT_QUEUE,
                headers=message_headers,
                content_type=kind,
                content_encoding="utf-8" if kind == "application/json" else "binary",
            )
    results = place.texts(5)
    assert [verdict_of(result)["suggest"] for result in results] == ["pass"] * 5
    assert worker.process.poll() is None


def test_however_long_answers_take_calls_go_on_as_permits_come(place: Place) -> None:
    answers = threading.Event()

    def late(_: Arrival) -> int:
        assert answers.wait(2 * PATIENCE)
        return 0

    place.platform.errcode = late
    results = place.texts(60)
    place.worker("worker", TEXT_PER_MINUTE="1200", API_TIMEOUT="30")
    # twenty a second
    eventually(lambda: len(place.platform.arrivals) >= 30, "they arrive though none is answered", 20)
    answers.set()
    assert [verdict_of(result)["suggest"] for result in results] == ["pass"] * 60


# -- a closed lane -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("errcode", [44991, 45009])
def test_while_a_lane_is_closed_nothing_of_it_is_in_hand_and_the_others_go_on(place: Place, errcode: int) -> None:
    place.platform.errcode = lambda arrival: errcode if arrival.path == TEXT_PATH else 0
    results = place.texts(50)
    place.worker("worker", TEXT_PER_MINUTE="600")
    place.stays_closed()
    eventually(lambda: not in_hand(place.store), "nothing is in hand", IN_HAND)
    order = waiting(place, results)
    assert len(order) == 50
    assert is_kept(order), order
    assert place.store.zcard(SHARD.key("shelf")) == 0

    began = time.monotonic()
    media = send_media(place.app, "https://img.example.com/a.jpg")
    eventually(lambda: media.state == wxcheck.WAITING, "the media check waits for its push")
    push = {"appid": APPID, "push": media_push(media.info["trace_id"]), "received_at": time.time()}
    place.app.send_task("wxcheck.receive_push", kwargs=push, queue="wxcheck.push", ignore_result=True)
    assert verdict_of(media)["suggest"] == "pass"
    assert time.monotonic() - began < IN_HAND


def test_a_closed_lane_goes_on_within_seconds_once_it_is_looked_at(place: Place) -> None:
    place.platform.errcode = lambda _: 45009
    results = place.texts(5)
    place.worker("worker", TEXT_PER_MINUTE="600")
    eventually(lambda: place.is_closed() and not in_hand(place.store), "the lane is closed")
    refused = len(place.platform.arrivals)
    place.platform.errcode = lambda _: 0
    time.sleep(1.2)
    assert len(place.platform.arrivals) == refused
    began = time.monotonic()
    place.open_lanes()
    arrived(place, refused + 1)
    # a second, and what a busy machine takes; the hold would have been until midnight
    assert place.platform.arrivals[refused].at - began < 10
    assert [verdict_of(result)["suggest"] for result in results] == ["pass"] * 5


# -- several Mini Programs ---------------------------------------------------------------------------------------------


def refuse_first(place: Place, errcode: int = 45009) -> None:
    place.platform.errcode = lambda arrival: errcode if arrival.appid == APPID else 0


def test_a_mini_program_whose_lane_is_closed_waits_and_another_goes_on(place: Place) -> None:
    refuse_first(place)
    mixed = [
        (place.texts(1, name=f"closed-{number}")[0], place.texts(1, name="free", appid=OTHER_APPID)[0])
        for number in range(40)
    ]
    place.worker("worker", TEXT_PER_MINUTE="3000", APPS=TWO_PROGRAMS)
    for _, free in mixed:
        assert verdict_of(free)["suggest"] == "pass"
    waiting_ones = [result for result, _ in mixed]
    eventually(lambda: len(in_lane(place.store, APPID)) == 40, "those of the closed lane wait in it")
    eventually(lambda: not in_hand(place.store), "nothing is in hand", IN_HAND)
    order = waiting(place, waiting_ones)
    assert is_kept(order), order
    assert place.store.zcard(SHARD.key("shelf")) == 0

    place.platform.errcode = lambda _: 0
    place.open_lanes()
    for result, _ in mixed:
        assert verdict_of(result)["suggest"] == "pass"
    assert in_lane(place.store, APPID) == []


def test_a_mini_program_whose_checks_wait_for_permits_holds_up_no_other(place: Place) -> None:
    place.texts(300, name="many", ignore_result=True)
    few = place.texts(20, name="few", appid=OTHER_APPID)
    for name in ("one", "two"):
        place.worker(name, TEXT_PER_MINUTE="600", APPS=TWO_PROGRAMS)
    assert [verdict_of(result)["suggest"] for result in few] == ["pass"] * 20
    # ten a second each: the twenty take some seconds, the three hundred half a minute
    assert len(place.platform.contents(APPID)) < 150


def test_a_killed_worker_loses_nothing_of_a_closed_lane_and_a_later_one_serves_it(place: Place) -> None:
    refuse_first(place)
    results = place.texts(40)
    first = place.worker("first", TEXT_PER_MINUTE="4000", APPS=TWO_PROGRAMS)
    eventually(lambda: len(in_lane(place.store, APPID)) == 40, "they wait in their lane")
    place.platform.errcode = lambda _: 0
    place.platform.seconds = 30
    refused = len(place.platform.arrivals)
    place.open_lanes()
    arrived(place, refused + 10)
    first.kill()
    place.platform.seconds = 0
    outlast_leases(place)
    place.worker("second", TEXT_PER_MINUTE="6000", APPS="")
    assert [verdict_of(result)["suggest"] for result in results] == ["pass"] * 40


# -- the shelf ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("send", "path"), [(send_text, TEXT_PATH), (send_media, MEDIA_PATH)], ids=["text", "media"])
def test_a_check_with_a_countdown_waits_on_the_shelf_and_comes_back_once(place: Place, send: Any, path: str) -> None:
    name, queue, argument = {
        TEXT_PATH: (wxcheck.CHECK_TEXT, wxcheck.TEXT_QUEUE, {"content": "later"}),
        MEDIA_PATH: (wxcheck.CHECK_MEDIA, wxcheck.MEDIA_QUEUE, {"media_url": "https://later/", "media_type": 2}),
    }[path]
    place.worker("worker")
    now = time.time()
    # by name alone, as with each message that a stranger's program sends
    soon = place.app.send_task(name, kwargs=argument, queue=queue, countdown=600)
    much_later = place.app.send_task(name, kwargs=argument, queue=queue, countdown=700)
    by_time = place.app.send_task(
        name, kwargs=argument, queue=queue, eta=datetime.now(ZoneInfo("Asia/Shanghai")) + timedelta(hours=5)
    )
    sent = time.time()
    for result, seconds in ((soon, 600), (much_later, 700), (by_time, 5 * 3600)):
        eventually(partial(on_shelf, place.store, result.id), f"{result.id} is on the shelf")
        assert now + seconds - 2 <= (on_shelf(place.store, result.id) or 0) <= sent + seconds + 2
    eventually(lambda: not in_hand(place.store), "nothing is in hand", IN_HAND)
    # the time of one is near, however long it took to see it there
    began = time.monotonic()
    time_comes(place, soon.id, 3)
    arrived(place, 1, path)
    assert place.platform.arrivals[0].at - began >= 3
    eventually(lambda: on_shelf(place.store, soon.id) is None, "it is off the shelf")
    time.sleep(1.5)
    assert len(place.platform.arrivals) == 1
    assert on_shelf(place.store, much_later.id)
    assert in_lane(place.store, APPID, "text" if path == TEXT_PATH else "media") == []


def test_a_check_with_a_countdown_keeps_its_chain_its_headers_and_its_priority(place: Place) -> None:
    follow_up = place.app.signature("application.publish", queue="application")
    check = place.app.signature(wxcheck.CHECK_TEXT, args=("later",), queue=wxcheck.TEXT_QUEUE)
    check.set(countdown=600, priority=3)
    place.worker("worker", queues=wxcheck.TEXT_QUEUE)
    last = (check | follow_up).apply_async(headers={"x_tenant": "t-9"})
    eventually(lambda: on_shelf(place.store, last.parent.id), "it is on the shelf")
    time_comes(place, last.parent.id)
    eventually(lambda: queued(place.store, "application"), "its chain goes on")
    assert queued(place.store, "application") == [last.id]
    message = headers(place.store, "application", last.id)
    assert (message["parent_id"], message["root_id"]) == (last.parent.id, last.parent.id)
    raw = json.loads(place.store.lrange("application", 0, -1)[0]) if place.store.exists("application") else None
    assert raw is None or raw["properties"]["priority"] in (0, 3)


def test_retries_wait_on_the_shelf_count_and_end(place: Place) -> None:
    place.platform.errcode = lambda _: -1
    place.worker("worker", API_RETRIES="2", RETRY_DELAY="60")
    (result,) = place.texts(1)
    seen = []
    for attempt in (1, 2):
        arrived(place, attempt)
        eventually(lambda: on_shelf(place.store, result.id), "it is on the shelf")
        seen.append(kept_headers(place.store, result.id)["retries"])
        eventually(lambda: not in_hand(place.store), "nothing is in hand", IN_HAND)
        time_comes(place, result.id)
    assert seen == [1, 2]
    failure = failure_of(result)
    assert (type(failure), failure.args) == (wxcheck.PlatformUnavailable, (-1,))
    assert len(place.platform.arrivals) == 3
    assert not place.store.exists(SHARD.key("shelf"), SHARD.key("messages"))


# -- priority ----------------------------------------------------------------------------------------------------------


def test_low_priority_beyond_the_reserve_waits_for_the_next_day_and_the_rest_passes(place: Place) -> None:
    place.worker("worker", TEXT_PER_DAY="6", DAY_RESERVE="0.5", TEXT_PER_MINUTE="6000")
    low = [place.texts(1, name=f"low-{number}", priority=6 + number % 4)[0] for number in range(3)]
    assert [verdict_of(result)["suggest"] for result in low] == ["pass"] * 3
    kept_back = [place.texts(1, name="back", priority=priority)[0] for priority in (6, 9)]

    def opens() -> float:
        return float(place.store.zscore(SHARD.key("open:text"), APPID) or 0) / 1000

    eventually(lambda: opens() > time.time() + 5, "the lane opens later, as far as those go")
    opening = datetime.fromtimestamp(opens(), ZoneInfo("Asia/Shanghai"))
    assert (opening.hour, opening.minute, opening.second) == (0, 0, 0)
    assert 0 < opens() - time.time() <= 86_400.5
    normal = [place.texts(1, priority=priority)[0] for priority in (0, 3, 5)]
    assert [verdict_of(result)["suggest"] for result in normal] == ["pass"] * 3
    # the day is over for everybody now
    over = place.texts(1)[0]
    time.sleep(1)
    eventually(lambda: not in_hand(place.store), "nothing is in hand", IN_HAND)
    assert in_lane(place.store, APPID) == [one.id for one in (over, *kept_back)]
    assert len(place.platform.arrivals) == 6


@pytest.mark.parametrize("priority", [6, 9])
def test_high_priority_overtakes_what_waits_and_is_sent_within_two_seconds(place: Place, priority: int) -> None:
    place.texts(300, name="low", priority=priority)
    for number in range(300):
        place.app.send_task(
            wxcheck.CHECK_MEDIA,
            kwargs={"media_url": f"https://img.example.com/{number}", "media_type": 2},
            queue=wxcheck.MEDIA_QUEUE,
            priority=priority,
            ignore_result=True,
        )
    place.worker("worker", TEXT_PER_MINUTE="300", MEDIA_PER_MINUTE="300")
    arrived(place, 8)
    arrived(place, 8, MEDIA_PATH)
    place.texts(1, name="high", priority=0)
    place.app.send_task(
        wxcheck.CHECK_MEDIA,
        kwargs={"media_url": "https://img.example.com/high", "media_type": 2},
        queue=wxcheck.MEDIA_QUEUE,
        priority=0,
    )
    before = {path: len(place.platform.contents(path=path)) for path in (TEXT_PATH, MEDIA_PATH)}

    def places(path: str) -> list[int]:
        return [number for number, content in enumerate(place.platform.contents(path=path)) if "high" in content]

    for path in (TEXT_PATH, MEDIA_PATH):
        eventually(partial(places, path), "both are sent", 20)
        # five a second; so many, too, where the machine stands still meanwhile
        assert places(path)[0] - before[path] <= 2 * 5


# -- operators ---------------------------------------------------------------------------------------------------------


def shown_rates(place: Place, name: str) -> list[str]:
    """As ``inspect registered`` tells, which Flower reads too."""
    said = place.app.control.inspect([f"{name}@{os.uname().nodename}"], timeout=10).registered("rate_limit") or {}
    return sorted(line for lines in said.values() for line in lines if line.startswith("wxcheck.check_"))


def test_a_rate_that_is_set_at_one_worker_holds_for_all_until_it_is_reset(place: Place) -> None:
    host = os.uname().nodename
    apps = json.dumps({OTHER_APPID: {"secret": SECRET, "text_per_minute": 60}})
    settings = {"TEXT_PER_MINUTE": "6000", "APPS": apps}
    place.worker("one", **settings)
    place.worker("two", **settings)

    def set_rate(rate: str) -> Any:
        (answer,) = place.app.control.rate_limit(
            "wxcheck.check_text", rate, reply=True, destination=[f"one@{host}"], timeout=PATIENCE
        )
        return answer[f"one@{host}"]

    assert "ok" in set_rate("120/m")
    place.worker("three", **settings)  # ... also for one that starts later
    shown = ["wxcheck.check_media [rate_limit=2000/m]", "wxcheck.check_text [rate_limit=120/m]"]

    def shows(name: str) -> bool:
        return shown_rates(place, name) == shown

    for name in ("one", "two", "three"):
        eventually(partial(shows, name), f"{name} shows the rate")

    results = place.texts(6)
    results += place.texts(1, appid=OTHER_APPID)
    assert [verdict_of(result)["suggest"] for result in results] == ["pass"] * 7
    at = [arrival.at for arrival in place.platform.arrivals if arrival.appid == APPID]
    assert at[-1] - at[0] >= 5 * 60 / 120 / 1.5 - 0.2
    # an appId's own rate that is lower stays as it is
    assert place.store.hget(quota_of(), "n") == "120"
    assert place.store.hget(quota_of(appid=OTHER_APPID), "n") == "60"

    for rubbish in ("fast", "1/y", "0.1/m", "-1/m", "nan/m", "inf/m"):
        said = set_rate(rubbish)
        assert "ok" not in said
        assert rubbish in said["error"], said
    assert [name for name in ("one", "two", "three") if not shows(name)] == []

    assert "ok" in set_rate("0")
    shown[1] = "wxcheck.check_text [rate_limit=6000/m]"
    for name in ("one", "two", "three"):
        eventually(partial(shows, name), f"{name} shows the rate")
    time.sleep(1)
    results = place.texts(100, name="quick")
    assert [verdict_of(result)["suggest"] for result in results] == ["pass"] * 100
    at = [arrival.at for arrival in place.platform.arrivals if arrival.content.startswith("quick")]
    # half a minute at the rate that was set before
    assert max(at) - min(at) < 15


def test_a_queue_is_cancelled_and_added_again_by_remote_control(place: Place) -> None:
    place.worker("worker", TEXT_PER_MINUTE="6000")
    host = f"worker@{os.uname().nodename}"

    def active() -> list[str]:
        said = place.app.control.inspect([host], timeout=10).active_queues() or {}
        return sorted(queue["name"] for queue in said.get(host, []))

    eventually(lambda: active() == ["wxcheck.media", "wxcheck.push", "wxcheck.text"], "all three queues are listed")
    assert verdict_of(place.texts(1)[0])["suggest"] == "pass"
    (answer,) = place.app.control.cancel_consumer(wxcheck.TEXT_QUEUE, reply=True, destination=[host], timeout=PATIENCE)
    assert "ok" in answer[host]
    # the worker answers before it has done it
    eventually(lambda: active() == ["wxcheck.media", "wxcheck.push"], "the queue is cancelled")
    results = place.texts(5)
    media = send_media(place.app, "https://img.example.com/a.jpg")
    eventually(lambda: media.state == wxcheck.WAITING, "the other lane goes on", IN_HAND)
    assert queued(place.store, wxcheck.TEXT_QUEUE) == [result.id for result in results]
    (answer,) = place.app.control.add_consumer(wxcheck.TEXT_QUEUE, reply=True, destination=[host], timeout=PATIENCE)
    assert "ok" in answer[host]
    assert [verdict_of(result)["suggest"] for result in results] == ["pass"] * 5
    assert active() == ["wxcheck.media", "wxcheck.push", "wxcheck.text"]


# -- the store ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def standing_still(base: System) -> Iterator[None]:
    os.kill(base.server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(base.server.process.pid, signal.SIGCONT)


def test_a_worker_goes_on_when_the_store_has_stood_still(place: Place, base: System) -> None:
    results = place.texts(40)
    worker = place.worker("worker", TEXT_PER_MINUTE="600")
    arrived(place, 5)
    with standing_still(base):
        time.sleep(3)
        count = len(place.platform.arrivals)
        time.sleep(0.5)
        # nothing is sent without a permit
        assert len(place.platform.arrivals) == count
    assert [verdict_of(result)["suggest"] for result in results] == ["pass"] * 40
    assert len(place.platform.arrivals) == 40
    assert worker.process.poll() is None


def test_a_worker_goes_on_after_a_stall_in_which_it_could_give_nothing_back(place: Place, base: System) -> None:
    results = place.texts(60)
    worker = place.worker("worker", TEXT_PER_MINUTE="6000")
    arrived(place, 5)
    with standing_still(base):
        time.sleep(2 * SOCKET_TIMEOUT + 2)  # a step of a check and the giving back after it have both timed out
    results += place.texts(10, name="later")
    assert [verdict_of(result)["suggest"] for result in results[-10:]] == ["pass"] * 10

    def all_ended() -> bool:
        outlast_leases(place)  # of what it could not give back
        return all(result.ready() for result in results)

    eventually(all_ended, "every check ended")
    assert [verdict_of(result)["suggest"] for result in results] == ["pass"] * 70
    assert worker.process.poll() is None


def test_a_worker_goes_on_when_the_store_was_killed_and_has_forgotten_everything(place: Place, base: System) -> None:
    place.texts(40)
    worker = place.worker("worker", TEXT_PER_MINUTE="600")
    arrived(place, 5)
    base.server.kill()
    time.sleep(1)
    base.server = base.start_redis()
    results = place.texts(5, name="after")
    eventually(lambda: place.store.hexists(quota_of(), "opens"), "the worker has found the lane new")
    time.sleep(1)
    # what was sent before the end counts, and nobody knows how much that was
    assert [content for content in place.platform.contents() if content.startswith("after")] == []
    eventually(lambda: not in_hand(place.store), "nothing is in hand", IN_HAND)
    place.open_lanes()
    assert [verdict_of(result)["suggest"] for result in results] == ["pass"] * 5
    assert worker.process.poll() is None


# -- the other pool ----------------------------------------------------------------------------------------------------


def test_the_solo_pool_keeps_the_rate_too_and_loses_nothing(place: Place) -> None:
    results = place.texts(20)
    worker = place.worker("worker", "-P", "solo", TEXT_PER_MINUTE="300")
    assert [verdict_of(result)["suggest"] for result in results] == ["pass"] * 20
    contents = place.platform.contents()
    assert sorted(contents) == sorted(f"text-{number}" for number in range(20))
    at = sorted(arrival.at for arrival in place.platform.arrivals)
    assert at[-1] - at[0] >= 19 * 60 / 300 / 1.5 - 0.3
    place.platform.errcode = lambda _: 45009
    (check,) = place.texts(1)
    eventually(lambda: place.is_closed() and not in_hand(place.store), "the lane is closed", IN_HAND)
    assert in_lane(place.store, APPID) == [check.id]
    assert worker.stop() == 0
