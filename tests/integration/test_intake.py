"""A message in an inbox is filed in its place, once, on each broker.

Tests: worker.intake.filing, worker.intake.intake, worker.intake.broker_inbox
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast

import pytest
import redis
from kombu import Connection

import wxcheck
from config.names import PUSH_QUEUE, RECEIVE_PUSH
from store.connection import connect
from store.places.forms import Held, LaneLimits
from store.places.places import Places
from store.places.shard import Shard
from store.quota.clock import Watch
from tests.support.checks import picture, words
from tests.support.processes import PATIENCE, Running, eventually
from tests.support.queues import queued, unacknowledged
from tests.support.system import APPID, OTHER_APPID, System

SHARD = Shard("wxcheck", 0)
HOUR = 3600.0


class Store:
    """The places of a system, and the process that files what comes into its inbox."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.redis = system.redis
        client = connect(system.redis_url, PATIENCE, retries=1)
        self.places = Places(client, SHARD, Watch(), call_timeout=6.0)
        self.process: Running | None = None

    def starts(self, *queues: str) -> Running:
        command = [sys.executable, "-m", "tests.support.intake_process", *queues]
        self.process = self.system.run("intake", command)
        self.process.wait_for("intake ready.")
        return self.process

    def log(self) -> str:
        return (self.system.directory / "intake.log").read_text(encoding="utf-8")

    def shown(self, task_id: str) -> dict[str, Any]:
        eventually(lambda: self.places.show(task_id) is not None, f"{task_id} is filed")
        return self.places.show(task_id) or {}

    def message(self, task_id: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(str(self.redis.hget(SHARD.key("messages"), task_id)))
        return found

    def text(self, content: str = "你好", **options: Any) -> str:
        return self._send(wxcheck.CHECK_TEXT, content, wxcheck.TEXT_QUEUE, options)

    def media(self, url: str, **options: Any) -> str:
        return self._send(wxcheck.CHECK_MEDIA, url, wxcheck.MEDIA_QUEUE, options)

    def _send(self, task: str, content: str, queue: str, options: dict[str, Any]) -> str:
        kwargs = options.pop("kwargs", {})
        return str(self.system.app.signature(task, (content,), kwargs, queue=queue).apply_async(**options).id)

    def pushed(self, trace_id: str, appid: str = APPID) -> str:
        kwargs = {"appid": appid, "push": {"trace_id": trace_id, "version": 2}, "received_at": time.time()}
        return str(self.system.app.send_task(RECEIVE_PUSH, kwargs=kwargs, queue=PUSH_QUEUE).id)

    def parks(self, task_id: str, trace_id: str) -> None:
        """A worker takes a picture, sends it, and parks it."""
        limits = [LaneLimits("media", APPID, 60_000, 1000, fresh=0)]
        held: dict[str, Held] = {}
        while task_id not in held:
            held |= {one.id: one for one in self.places.take({"text": 0, "media": 8, "push": 0}, limits).held}
        assert self.places.park(held[task_id], trace_id, HOUR) == "parked"

    def is_empty(self) -> bool:
        """True if nothing waits in the inbox, nor was taken from it without being filed."""
        names = [wxcheck.TEXT_QUEUE, wxcheck.MEDIA_QUEUE, PUSH_QUEUE]
        if self.system.servers.rabbitmq is None:
            with redis.Redis.from_url(self.system.broker_url, decode_responses=True) as broker:
                return not any(queued(broker, name) for name in names) and not unacknowledged(broker)
        with Connection(self.system.broker_url) as connection:
            channel = connection.channel()
            return all(channel.queue_declare(name, passive=True).message_count == 0 for name in names)


#: of store and broker: on one server, each on its own, another kind of broker
EVERY = pytest.mark.parametrize("store", ["one Redis", "all apart", "RabbitMQ"], indirect=True)
APART = pytest.mark.parametrize("store", ["all apart", "RabbitMQ"], indirect=True)


@pytest.fixture(scope="module", params=["one Redis"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    system = System(tmp_path_factory.mktemp("intake"), request.param)
    try:
        found = Store(system)
        found.starts()
        yield found
    finally:
        system.close()


@EVERY
def test_a_text_waits_in_the_lane_of_its_mini_program(store: Store) -> None:
    content = words("pass")
    task_id = store.text(content)
    other = store.text(words("pass"), kwargs={"appid": OTHER_APPID}, priority=6)
    shown = store.shown(task_id)
    assert (shown["place"], shown["kind"], shown["appid"], shown["priority"]) == ("lane", "text", APPID, 0)
    shown = store.shown(other)
    assert (shown["place"], shown["appid"], shown["priority"]) == ("lane", OTHER_APPID, 6)
    message = store.message(task_id)
    assert (message["headers"]["id"], message["headers"]["task"]) == (task_id, wxcheck.CHECK_TEXT)
    assert json.loads(message["body"])[0] == [content]
    eventually(store.is_empty, "it has left the inbox")


def test_a_check_with_wrong_arguments_waits_for_a_run_alone(store: Store) -> None:
    shown = store.shown(store.text(""))
    assert (shown["place"], shown["cause"]["ended"]) == ("ready", "invalid")
    assert "content" in shown["cause"]["said"]
    shown = store.shown(store.text(kwargs={"appid": "wxunknown"}))
    assert (shown["place"], shown["appid"], shown["cause"]["ended"]) == ("ready", "", "invalid")


def test_a_message_that_is_no_check_waits_for_a_run_alone(store: Store) -> None:
    task_id = str(store.system.app.send_task("application.publish", queue=wxcheck.MEDIA_QUEUE).id)
    shown = store.shown(task_id)
    assert (shown["place"], shown["kind"], shown["cause"]["ended"]) == ("ready", "media", "no_check")
    assert store.message(task_id)["headers"]["task"] == "wxcheck.refuse"


def test_a_check_with_a_countdown_waits_on_the_shelf(store: Store) -> None:
    task_id = store.text(countdown=HOUR)
    assert store.shown(task_id)["place"] == "shelf"
    assert (store.redis.zscore(SHARD.key("shelf"), task_id) or 0) / 1000 == pytest.approx(time.time() + HOUR, abs=60)
    assert "eta" not in store.message(task_id)["headers"]


def test_a_check_that_expires_or_grows_stale_says_when(store: Store) -> None:
    user = {"openid": "o" * 20, "scene": 1}
    expires = datetime.fromtimestamp(time.time() + 60, UTC)
    long_ago = {wxcheck.SENT_AT_HEADER: time.time() - HOUR}
    ids = {
        "expired": store.text(expires=expires),
        "stale": store.text(kwargs=user, headers=long_ago),
        "stale ": store.text(kwargs=user),
    }
    shown = {why: store.shown(task_id) for why, task_id in ids.items()}
    assert [one["why"] for one in shown.values()] == ["expired", "stale", "stale"]
    due = [one["due"] / 1000 - time.time() for one in shown.values()]
    assert due == pytest.approx([60, 6600 - HOUR, 6600], abs=60)
    assert store.message(ids["stale "])["headers"][wxcheck.SENT_AT_HEADER] == pytest.approx(time.time(), abs=60)
    later = datetime.fromtimestamp(time.time() + 6 * HOUR, UTC)
    both = [store.shown(store.text(kwargs=user, expires=at)) for at in (expires, later)]
    assert [one["why"] for one in both] == ["expired", "stale"], "whichever comes first"


def test_a_message_that_comes_again_is_filed_once(store: Store) -> None:
    task_id = str(uuid.uuid4())
    assert {store.text("one", task_id=task_id) for _ in range(3)} == {task_id}
    eventually(lambda: store.log().count(f"check_repeated task_id={task_id}") == 2, "it is known")
    lane = cast("list[str]", store.redis.zrange(SHARD.of_lane("text", APPID)[0], 0, -1))
    assert lane.count(task_id) == 1


def test_another_check_under_an_id_that_is_taken_waits_for_a_run_that_tells_so(store: Store) -> None:
    task_id = str(uuid.uuid4())
    store.text("one", task_id=task_id)
    store.text("two", task_id=task_id)
    eventually(lambda: f"task_id_taken task_id={task_id}" in store.log(), "it is told")
    ids = cast("list[str]", store.redis.hkeys(SHARD.key("checks")))
    spare = [one for one in ids if one.startswith(f"{task_id}~")]
    assert len(spare) == 1
    assert store.shown(spare[0])["cause"] == {"ended": "taken"}
    assert store.message(spare[0])["headers"]["id"] == task_id


@EVERY
def test_a_push_is_matched_without_a_task(store: Store) -> None:
    task_id = store.media(picture("lost"))
    store.shown(task_id)
    store.parks(task_id, "trace-1")
    store.pushed("trace-1")
    eventually(lambda: (store.places.show(task_id) or {})["place"] == "ready", "it is matched")
    cause = (store.places.show(task_id) or {})["cause"]
    assert (cause["ended"], json.loads(cause["push"])) == ("done", {"trace_id": "trace-1", "version": 2})
    eventually(lambda: f"push_matched task_id={task_id} trace_id=trace-1" in store.log(), "it is logged")
    store.pushed("trace-2")
    eventually(lambda: store.redis.hexists(SHARD.key("early"), f"{APPID}:trace-2"), "one that nobody waits for is kept")
    eventually(store.is_empty, "all have left the inbox")


def test_a_push_that_is_none_is_dropped_and_counted(store: Store) -> None:
    for kwargs in ({}, {"appid": APPID, "push": {}, "received_at": 1.0}, {"appid": 1, "push": [], "received_at": 1}):
        store.system.app.send_task(RECEIVE_PUSH, kwargs=kwargs, queue=PUSH_QUEUE)
    eventually(lambda: store.log().count("message_dropped") >= 3, "they are told")
    task_id = store.text()
    assert store.shown(task_id)["place"] == "lane"
    eventually(store.is_empty, "they have left the inbox")


@EVERY
def test_a_check_of_a_later_version_stays_in_the_inbox(store: Store) -> None:
    task_id, another = str(uuid.uuid4()), str(uuid.uuid4())
    store.redis.hset(SHARD.key("checks"), task_id, json.dumps({"v": 99, "place": "lane"}))
    store.text(task_id=task_id)
    eventually(lambda: f"newer_format task_id={task_id}" in store.log(), "it is told")
    store.text(task_id=another)
    assert store.shown(another)["place"] == "lane", "it holds up no other"
    store.redis.hdel(SHARD.key("checks"), task_id)
    assert store.shown(task_id)["place"] == "lane", "once it can be filed, it is"
    eventually(store.is_empty, "it has left the inbox")


@APART
def test_an_intake_that_dies_between_two_steps_loses_nothing(store: Store) -> None:
    assert store.process is not None
    store.system.server.freeze()
    # whoever waits for results asks the backend, which may be the store's Redis
    ids = [store.text(f"text {number}", ignore_result=True) for number in range(20)]
    time.sleep(1)
    store.process.kill()
    store.system.server.thaw()
    store.starts()
    assert {store.shown(task_id)["place"] for task_id in ids} == {"lane"}
    eventually(store.is_empty, "all have left the inbox")


@APART
def test_an_intake_goes_on_once_its_broker_is_back(store: Store) -> None:
    assert store.system.servers.broker_server is not None
    store.system.servers.broker_server.kill()
    store.system.servers.broker_server.restart()
    assert store.shown(store.text())["place"] == "lane"


@EVERY
def test_an_intake_that_is_told_to_stop_files_what_it_has_taken(store: Store) -> None:
    assert store.process is not None
    ids = [store.text(f"text {number}") for number in range(100)]
    assert store.process.stop() == 0
    store.starts()
    assert {store.shown(task_id)["place"] for task_id in ids} == {"lane"}
