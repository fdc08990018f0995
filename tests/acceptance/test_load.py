"""Two thousand media checks in chains end once each, with pushes that come early or twice, and nothing stays."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery, chain

from store import keys
from tests.support.processes import eventually
from tests.support.system import APPID, System

CHECKS = 2_000
#: of the pushes, on each of the two faults
SHARE = 0.3
#: seconds; far more than it takes on an idle machine with two cores
LONGEST = 150

PLENTY = "600000"


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    system = System(tmp_path, MEDIA_PER_MINUTE=PLENTY, MEDIA_PER_DAY=PLENTY)
    try:
        system.sandbox()
        system.endpoint()
        # Apart, and with less room for checks than for pushes, so that no push waits for a slot: one that the platform
        # sends early does then come before its check is parked. A third of the slots is for media.
        system.worker("checks", "-c", "12", queues="wxcheck.text,wxcheck.media")
        system.worker("pushes", queues="wxcheck.push")
        system.application()
        yield system
    finally:
        system.close()


def send(system: System) -> None:
    """Sends every chain, as a view does that waits for no result."""
    client = Celery("sender", broker=system.redis_url, set_as_current=False)
    try:
        with client.producer_or_acquire():  # one connection for all of them
            for item in range(CHECKS):
                check = client.signature(
                    "wxcheck.check_media",
                    kwargs={"media_url": f"https://img.example.com/{item}.jpg", "media_type": "image"},
                    queue="wxcheck.media",
                )
                publish = client.signature("application.publish", args=(item,), queue="application")
                chain(check, publish).apply_async()
    finally:
        client.close()


STAYS = (keys.COUNTERS, keys.LANES, keys.PROCESSES, keys.FOLLOW_UPS, keys.SERVER)


def left_over(system: System) -> dict[str, object]:
    """The keys in the store, but for counters, tokens, permits, results and marks of ended checks, which expire."""
    store = system.redis
    permits = (keys.quota(APPID, "media"), keys.ring(APPID, "media"))
    left: dict[str, object] = {}
    for key in store.scan_iter("wxcheck:*", count=1000):
        if key.startswith(("wxcheck:check:", "wxcheck:record:")):
            state, lifetime = store.hget(key, "state"), store.ttl(key)
            if state not in ("ended", "done") or lifetime <= 0:
                left[key] = (state, lifetime)
        elif key.startswith(keys.STATISTICS):
            # of a limited number of fields
            if store.type(key) == "hash" and store.hlen(key) > 100:
                left[key] = store.hlen(key)
        elif key not in (*STAYS, f"wxcheck:token:{APPID}", *permits):
            left[key] = store.type(key)
    for key in ("wxcheck.text", "wxcheck.media", "wxcheck.push", "application", "celery", "unacked", "unacked_index"):
        if store.exists(key):
            left[key] = store.type(key)
    return left


def wait_until_empty(system: System, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while left := left_over(system):
        assert time.monotonic() < deadline, f"after {seconds:.0f} s the store still holds {left}"
        time.sleep(0.1)


@pytest.mark.timeout(400)
def test_of_2000_chains_each_follow_up_runs_once_and_the_store_is_empty_afterwards(system: System) -> None:
    system.tell_sandbox(push_early=SHARE, push_repeat=SHARE, push_delay=[0, 0.5], answer_seconds=[0.02, 0.08])
    began = time.monotonic()
    send(system)
    sent = time.monotonic()
    eventually(lambda: system.redis.llen("application:runs") >= CHECKS, "each follow-up ran", LONGEST)
    ended = time.monotonic()
    eventually(lambda: system.sandbox_stats()["waiting"] == 0, "the last push is out")
    wait_until_empty(system)

    runs = [json.loads(run) for run in system.redis.lrange("application:runs", 0, -1)]
    items = Counter(run["arguments"][1] for run in runs)
    assert items == Counter(range(CHECKS)), f"run more than once: {[item for item, n in items.items() if n > 1]}"
    assert len({run["task_id"] for run in runs}) == CHECKS
    verdicts = [run["arguments"][0] for run in runs]
    assert {verdict["suggest"] for verdict in verdicts} == {"pass"}
    assert len({verdict["trace_id"] for verdict in verdicts}) == CHECKS

    counters = system.counters()
    pushes = system.sandbox_stats()["pushes"]
    assert system.calls("/wxa/media_check_async") == CHECKS  # none was sent twice
    assert pushes["answers"] == {"200": pushes["sent"]}
    assert counters["media_done"] == CHECKS
    assert counters["push_matched"] + counters["push_early"] == CHECKS
    assert counters["push_repeated"] == pushes["sent"] - CHECKS
    # the run was one of the kind that it is meant to be: 30 % of 2,000 is 600, give or take five deviations
    assert 500 < counters["push_repeated"] < 700
    assert 0 < counters["push_early"] < 700  # a busy machine is late with most of them
    assert "finish_republished" not in counters
    print(
        f"\n{CHECKS} chains: sent in {sent - began:.1f} s, done in {ended - began:.1f} s"
        f" ({CHECKS / (ended - began):.0f}/s); {counters}"
    )
