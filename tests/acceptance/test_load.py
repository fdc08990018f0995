"""Hundreds of media checks in chains end once each, with pushes that come early or twice, and nothing stays."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery, chain

from store import keys
from store.places.shard import SHARD
from tests.support.processes import eventually
from tests.support.system import APPID, System

#: with every change, and the size at which what is rare has happened before
SIZES = [200, pytest.param(2_000, marks=pytest.mark.long)]
#: of the pushes, on each of the two faults
SHARE = 0.3
#: seconds; far more than it takes on an idle machine with two cores
LONGEST = 150

PLENTY = "600000"
#: of the worker of the checks
SLOTS = 12


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    system = System(tmp_path, MEDIA_PER_MINUTE=PLENTY, MEDIA_PER_DAY=PLENTY)
    try:
        system.sandbox()
        system.endpoint()
        # Apart, and with less room for checks than for pushes, so that no push waits for a slot: one that the platform
        # sends early does then come before its check is parked. A third of the slots is for media.
        system.worker("checks", "-c", str(SLOTS), queues="wxcheck.text,wxcheck.media")
        system.worker("pushes", queues="wxcheck.push")
        system.application()
        yield system
    finally:
        system.close()


def send(system: System, checks: int) -> None:
    """Sends every chain, as a view does that waits for no result."""
    client = Celery("sender", broker=system.redis_url, set_as_current=False)
    try:
        with client.producer_or_acquire():  # one connection for all of them
            for item in range(checks):
                check = client.signature(
                    "wxcheck.check_media",
                    kwargs={"media_url": f"https://img.example.com/{item}.jpg", "media_type": "image"},
                    queue="wxcheck.media",
                )
                publish = client.signature("application.publish", args=(item,), queue="application")
                chain(check, publish).apply_async()
    finally:
        client.close()


STAYS = {keys.COUNTERS, keys.PROCESSES, keys.FOLLOW_UPS, keys.SERVER}
#: of the store: what is known of a lane, of the ended checks and of the numbering, and what wakes a worker
OF_LANE = set(SHARD.of_lane("media", APPID)[1:])
OF_STORE = {SHARD.key(name) for name in ("checks", "traces", "ended", "sequence", "known")}
WAKES = {SHARD.key(f"wake:{queue}") for queue in ("text", "media", "push")}


def left_over(system: System) -> dict[str, object]:
    """The keys in the store, but for counters, tokens, permits, results and marks of ended checks, which expire."""
    store = system.redis
    left: dict[str, object] = {}
    for key in ("wxcheck.text", "wxcheck.media", "wxcheck.push", "application", "celery"):
        if store.exists(key):
            left[key] = store.type(key)
    for key in store.scan_iter("wxcheck:*", count=1000):
        if key.startswith(keys.STATISTICS):
            # of a limited number of fields
            if store.type(key) == "hash" and store.hlen(key) > 100:
                left[key] = store.hlen(key)
        elif key not in STAYS | OF_LANE | OF_STORE | WAKES:
            left[key] = store.type(key)
    # each check has left a mark, which goes at its time, and nothing else
    marks = store.zcard(SHARD.key("ended"))
    for name in ("checks", "traces"):
        if (number := store.hlen(SHARD.key(name))) != marks:
            left[name] = (number, marks)
    if (settled := store.llen(SHARD.of_lane("media", APPID)[3])) > SLOTS:
        left["settled"] = settled
    for key in ("unacked", "unacked_index"):
        if store.exists(key):
            left[key] = store.type(key)
    return left


def wait_until_empty(system: System, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while left := left_over(system):
        assert time.monotonic() < deadline, f"after {seconds:.0f} s the store still holds {left}"
        time.sleep(0.1)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("checks", SIZES)
def test_of_many_chains_each_follow_up_runs_once_and_the_store_is_empty_afterwards(system: System, checks: int) -> None:
    system.tell_sandbox(push_early=SHARE, push_repeat=SHARE, push_delay=[0, 0.5], answer_seconds=[0.02, 0.08])
    system.tell_sandbox(push_timeout_seconds=60)  # what a busy endpoint is late with is not to be pushed again
    began = time.monotonic()
    send(system, checks)
    sent = time.monotonic()
    eventually(lambda: system.redis.llen("application:runs") >= checks, "each follow-up ran", LONGEST)
    ended = time.monotonic()
    eventually(lambda: system.sandbox_stats()["waiting"] == 0, "the last push is out")
    wait_until_empty(system)

    runs = [json.loads(run) for run in system.redis.lrange("application:runs", 0, -1)]
    items = Counter(run["arguments"][1] for run in runs)
    assert items == Counter(range(checks)), f"run more than once: {[item for item, n in items.items() if n > 1]}"
    assert len({run["task_id"] for run in runs}) == checks
    verdicts = [run["arguments"][0] for run in runs]
    assert {verdict["suggest"] for verdict in verdicts} == {"pass"}
    assert len({verdict["trace_id"] for verdict in verdicts}) == checks

    counters = system.counters()
    pushes = system.sandbox_stats()["pushes"]
    assert system.calls("/wxa/media_check_async") == checks  # none was sent twice
    assert pushes["answers"] == {"200": pushes["sent"]}
    assert counters["media_done"] == checks
    assert counters["push_matched"] + counters["push_early"] == checks
    assert counters["push_repeated"] == pushes["sent"] - checks
    # the run was one of the kind that it is meant to be, give or take five deviations
    expected, deviation = checks * SHARE, math.sqrt(checks * SHARE * (1 - SHARE))
    assert abs(counters["push_repeated"] - expected) < 5 * deviation
    assert 0 < counters["push_early"] < expected + 5 * deviation  # a busy machine is late with most of them
    print(
        f"\n{checks} chains: sent in {sent - began:.1f} s, done in {ended - began:.1f} s"
        f" ({checks / (ended - began):.0f}/s); {counters}"
    )
