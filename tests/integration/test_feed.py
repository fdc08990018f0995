"""A worker's feed takes what it may send, as slots become free, and keeps nothing of what waits.

Tests: worker.taking.feed, worker.taking.hand
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from config.settings import MiniProgram
from store.connection import connect, run_id
from store.places.forms import Ended, Held, Message, Queue, Settled
from store.places.open_lanes import OpenLanes
from store.places.places import Places
from store.places.shard import Shard
from store.quota.clock import Watch
from store.quota.permits import START
from store.quota.rates import Rates
from tests.support.processes import PATIENCE, eventually
from tests.support.quota_world import mini_program
from worker.taking.feed import Feed
from worker.taking.hand import InHand

SHARD = Shard("wxcheck", 0)
APPID = "wx1"
TIMEOUT = 6.0
ALL: set[Queue] = {"text", "media", "push"}


class Worker:
    """A feed whose runs wait until they are told what to do."""

    def __init__(self, client: redis.Redis, programs: list[MiniProgram], slots: int, queues: set[Queue]) -> None:
        url = "redis://{host}:{port}/0".format(**client.get_connection_kwargs())
        self.redis = client
        self.places = Places(connect(url, 5.0, retries=0), SHARD, Watch(), TIMEOUT)
        lanes = OpenLanes(self.places, {one.appid: one for one in programs}, Rates(client), TIMEOUT + START)
        self.lock = threading.Lock()
        self.in_hand: dict[str, InHand] = {}
        self.most = 0
        #: what is done at once with each check, in place of keeping it in hand
        self.does: Callable[[InHand], None] | None = None
        self.feed = Feed(lanes, self.places, SHARD, connect(url, 5.0, retries=0), slots, self._run)
        self.feed.room.serve(queues)
        self.feed.start()

    def _run(self, in_hand: InHand) -> None:
        if self.does is not None:
            self.does(in_hand)
            return
        with self.lock:
            self.in_hand[in_hand.held.id] = in_hand
            self.most = max(self.most, len(self.in_hand))

    def wakes(self) -> int:
        return int(self.redis.llen(SHARD.key("wake:text")))

    def ids(self) -> set[str]:
        with self.lock:
            return set(self.in_hand)

    def ends(self, task_id: str) -> None:
        with self.lock:
            in_hand = self.in_hand.pop(task_id)
        end(in_hand)


def end(in_hand: InHand) -> None:
    """As a run does: its end is written, and then Celery acknowledges the message."""
    permit = in_hand.held.permit
    assert in_hand.finish(Ended("done"), permit and Settled(permit, was_sent=True)) == "ended"
    in_hand.message().ack()


def text(task_id: str, appid: str = APPID, **fields: Any) -> Message:
    kept = {
        "queue": "wxcheck.text",
        "body": "[[], {}, {}]",
        "headers": {"id": task_id, "task": "wxcheck.check_text"},
        "properties": {"priority": 3},
        "content_type": "application/json",
        "content_encoding": "utf-8",
    }
    return Message(task_id, json.dumps(kept), "text", appid, 3, f"{task_id:>8}"[-8:], **fields)


def picture(task_id: str, appid: str = APPID, **fields: Any) -> Message:
    return text(task_id, appid, **fields)._replace(kind="media")


Starts = Callable[..., Worker]


@pytest.fixture
def starts(server: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[Starts]:
    """Starts workers, which never look by themselves; their Redis knows that nothing was sent lately."""
    monkeypatch.setattr("worker.taking.feed.LONGEST", 10 * PATIENCE)
    monkeypatch.setattr("worker.taking.feed.WAIT", 0.4)
    server.flushall()
    server.hset(SHARD.key("known"), mapping={"run": run_id(server) or "", "since": int((time.time() - 3600) * 1e6)})
    workers = []

    def start(slots: int = 12, programs: list[MiniProgram] | None = None, queues: set[Queue] = ALL) -> Worker:
        mine = programs or [mini_program(60_000, 100_000, appid=APPID)]
        workers.append(Worker(server, mine, slots, queues))
        return workers[-1]

    yield start
    for worker in workers:
        worker.feed.stop(PATIENCE)


def place(worker: Worker, task_id: str) -> str:
    return str((worker.places.show(task_id) or {}).get("place", ""))


def test_a_check_that_is_filed_is_run_at_once(starts: Starts) -> None:
    worker = starts()
    for number in range(5):
        time.sleep(0.1)
        worker.places.file([text(f"check {number}")])
        eventually(lambda number=number: f"check {number}" in worker.ids(), "it is run")  # type: ignore[misc]
    held = worker.in_hand["check 0"].held
    assert (held.appid, held.kind, held.permit is not None) == (APPID, "text", True)


def test_a_worker_has_no_more_in_hand_than_it_has_slots(starts: Starts) -> None:
    worker = starts(slots=6)
    worker.places.file([text(f"text {number}") for number in range(20)])
    eventually(lambda: len(worker.ids()) == 4, "all slots but those of the pushes, and one for media")
    worker.places.file([picture(f"picture {number}") for number in range(20)])
    eventually(lambda: len(worker.ids()) == 5, "all slots but those of the pushes")
    ended = 0
    while ended < 40:
        eventually(worker.ids, "the next ones come")
        worker.ends(min(worker.ids()))
        ended += 1
    assert worker.most <= 5
    assert worker.redis.zcard(SHARD.key("ended")) == 40


def test_a_verdict_that_has_come_waits_for_no_call(starts: Starts) -> None:
    worker = starts(slots=6)
    worker.places.file([picture("picture")])
    eventually(lambda: worker.ids() == {"picture"}, "it is in hand")
    in_hand = worker.in_hand.pop("picture")
    assert in_hand.park("trace", 60.0) == "parked"
    in_hand.message().ack()
    worker.places.file([text(f"text {number}") for number in range(20)])
    eventually(lambda: len(worker.ids()) == 4, "the lane's slots are taken")
    worker.places.push([(APPID, "trace", "{}")])
    eventually(lambda: "picture" in worker.ids(), "its end is told")
    assert worker.in_hand["picture"].held.cause == {"ended": "done", "push": "{}"}


def test_a_single_slot_serves_every_queue(starts: Starts) -> None:
    worker = starts(slots=1)
    worker.does = end
    for number in range(10):
        worker.places.file([text(f"text {number}"), picture(f"picture {number}")])
        eventually(lambda number=number: place(worker, f"picture {number}") == "ended", "it ends")  # type: ignore[misc]
        eventually(lambda number=number: place(worker, f"text {number}") == "ended", "it ends")  # type: ignore[misc]


def test_a_worker_takes_only_from_the_queues_that_it_serves(starts: Starts) -> None:
    worker = starts(queues={"media"})
    worker.places.file([text("text"), picture("picture")])
    eventually(lambda: worker.ids() == {"picture"}, "it is run")
    time.sleep(0.3)
    assert worker.ids() == {"picture"}
    worker.feed.room.serve({"text", "media"})
    eventually(lambda: worker.ids() == {"picture", "text"}, "the other one, too")


def test_what_a_full_worker_is_told_another_one_hears(starts: Starts) -> None:
    full = starts(slots=3)
    full.places.file([text("one"), picture("two")])
    eventually(lambda: full.ids() == {"one", "two"}, "it is full")
    for number in range(20):
        full.places.file([text(f"more {number}")])
        time.sleep(0.01)
    other = starts(slots=48)
    eventually(lambda: len(other.ids()) == 20, "the other one takes them")
    other.places.file([text("last")])
    eventually(lambda: "last" in other.ids(), "and the next one")


def test_an_idle_worker_asks_for_nothing_however_many_lanes_wait_for_a_day(starts: Starts) -> None:
    programs = [mini_program(6000, 1, appid=f"wx{number}") for number in range(50)]
    worker = starts(programs=programs)
    worker.does = end
    for number in range(50):
        worker.places.file([text(f"first of {number}", f"wx{number}"), text(f"second of {number}", f"wx{number}")])
    eventually(lambda: worker.redis.zcard(SHARD.key("ended")) == 50, "the day's quota is used up")
    eventually(lambda: worker.redis.zcount(SHARD.key("open:text"), 0, (time.time() + 1) * 1000) == 0, "no lane is open")
    before = _commands(worker)
    time.sleep(3)
    assert (_commands(worker) - before - 1) / 3 < 10


def _commands(worker: Worker) -> int:
    """Commands of clients; those within scripts are counted with them."""
    stats: dict[str, Any] = worker.redis.info("commandstats")
    asked = ("cmdstat_evalsha", "cmdstat_eval", "cmdstat_blpop", "cmdstat_time")
    return sum(int(stats[name]["calls"]) for name in asked if name in stats)


def test_what_a_worker_that_died_had_heard_another_one_finds_by_itself(
    starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.taking.feed.LONGEST", 0.5)
    another = starts(queues=set())
    hears = threading.Thread(target=another.redis.blpop, args=([SHARD.key("wake:text")], PATIENCE))
    hears.start()
    eventually(lambda: len(_waiting(another)) == 1, "it waits")
    worker = starts()
    eventually(lambda: len(_waiting(worker)) == 2, "the other one waits behind it")
    worker.places.file([text("one")])
    hears.join(PATIENCE)
    assert worker.wakes() == 0
    eventually(lambda: worker.ids() == {"one"}, "it is taken")


def test_a_worker_hears_of_checks_again_once_what_wakes_it_is_mended(
    starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.taking.feed.AWAY", 0.05)
    worker = starts()
    worker.redis.set(SHARD.key("wake:text"), "a text, where a list should be")
    time.sleep(0.6)
    worker.redis.delete(SHARD.key("wake:text"))
    worker.places.file([text("one")])
    eventually(lambda: worker.ids() == {"one"}, "it is taken")


def test_what_celery_drops_ends_and_what_it_rejects_goes_back(starts: Starts) -> None:
    worker = starts()
    worker.places.file([text("dropped"), text("rejected")])
    eventually(lambda: len(worker.ids()) == 2, "they are in hand")
    worker.in_hand.pop("dropped").message().ack()
    assert (worker.places.show("dropped") or {})["how"] == "cancelled"
    again = worker.in_hand.pop("rejected")
    again.message().reject(requeue=True)
    eventually(lambda: worker.ids() == {"rejected"}, "it comes back")
    assert worker.in_hand["rejected"].held.run != again.held.run
    worker.in_hand["rejected"].message().reject()
    assert place(worker, "rejected") == "ended"
    assert not any(worker.feed.room._in_hand.values())


def test_a_message_is_handed_on_as_its_broker_had_it(starts: Starts) -> None:
    worker = starts()
    worker.places.file([text("one")])
    eventually(worker.ids, "it is in hand")
    message = worker.in_hand["one"].message()
    assert message.headers == {"id": "one", "task": "wxcheck.check_text"}
    assert (message.payload, message.properties, message.content_type) == (
        [[], {}, {}],
        {"priority": 3},
        "application/json",
    )
    assert message.delivery_info == {"exchange": "wxcheck.text", "routing_key": "wxcheck.text"}
    assert not message.acknowledged


def test_a_check_that_cannot_be_handed_on_waits_for_a_while_and_costs_no_quota(starts: Starts) -> None:
    worker = starts(programs=[mini_program(6000, 1)])
    refused: list[str] = []

    def refuses_the_first(in_hand: InHand) -> None:
        if not refused:
            refused.append(in_hand.held.id)
            raise KeyError("no task of that name")
        end(in_hand)

    worker.does = refuses_the_first
    worker.places.file([text("one")])
    eventually(lambda: place(worker, "one") == "shelf", "it waits")
    # the only permit of the day is free again
    worker.places.file([text("two")])
    eventually(lambda: place(worker, "two") == "ended", "another one is sent")
    assert refused == ["one"]


def test_a_feed_goes_on_once_its_store_answers_again(starts: Starts) -> None:
    worker = starts()
    worker.places.file([text("one")])
    eventually(lambda: worker.ids() == {"one"}, "it is run")
    worker.redis.client_kill_filter(_type="normal", skipme=True)
    worker.redis.client_kill_filter(_type="normal", skipme=True)
    eventually(lambda: _filed(worker, "two"), "it is filed")
    eventually(lambda: worker.ids() == {"one", "two"}, "it goes on")


def _filed(worker: Worker, task_id: str) -> bool:
    try:
        return worker.places.file([text(task_id)]) in (["filed"], ["repeated"])
    except redis.ConnectionError:
        return False


def test_a_lane_opens_by_itself_when_its_permit_comes(starts: Starts) -> None:
    """Of 60 a minute one comes a second, or so; nothing is filed meanwhile."""
    worker = starts(programs=[mini_program(60, 100_000, appid=APPID)])
    worker.does = end
    worker.places.file([text(f"check {number}") for number in range(4)])
    eventually(lambda: worker.redis.zcard(SHARD.key("ended")) == 4, "all end")


def test_a_feed_that_is_stopped_takes_nothing_more(starts: Starts) -> None:
    worker = starts()
    worker.feed.stop(PATIENCE)
    worker.places.file([text("one")])
    time.sleep(0.2)
    assert place(worker, "one") == "lane"


def test_what_a_worker_hears_as_it_stops_another_one_hears(starts: Starts) -> None:
    stopping = starts()
    eventually(lambda: len(_waiting(stopping)) == 1, "it waits")
    other = starts()
    eventually(lambda: len(_waiting(other)) == 2, "the other one waits behind it")
    time.sleep(0.1)  # the first takes are over
    stop = threading.Thread(target=stopping.feed.stop, args=(PATIENCE,))
    stop.start()
    eventually(lambda: stopping.feed._is_stopped, "it is about to stop")
    other.places.file([text("one")])
    eventually(lambda: other.ids() == {"one"}, "the other one takes it")
    stop.join(PATIENCE)


def _waiting(worker: Worker) -> list[Any]:
    return [client for client in worker.redis.client_list() if "b" in client["flags"]]


def test_one_check_is_let_go_once(starts: Starts) -> None:
    let_go: list[Held] = []
    worker = starts(queues=set())
    worker.places.file([text("one")])
    feed_of_another = starts()
    eventually(feed_of_another.ids, "it is taken")
    in_hand = InHand(feed_of_another.in_hand["one"].held, worker.places, let_go.append)
    in_hand.message().ack()
    in_hand.leave(back=True)
    assert [held.id for held in let_go] == ["one"]
