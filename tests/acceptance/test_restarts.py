"""Processes that have work in hand go on after a restart of Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from config.lanes import LANES
from store.places.shard import SHARD
from tests.support.checks import send_media, send_text, verdict_of
from tests.support.processes import eventually
from tests.support.system import APPID, System
from wechat.checks import TEXT_PATH


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    system = System(tmp_path, API_TIMEOUT="20")
    try:
        system.sandbox()
        system.endpoint()
        yield system
    finally:
        system.close()


def test_a_worker_with_checks_in_hand_outlives_a_restart_of_redis(system: System) -> None:
    worker = system.worker()
    for number in range(10):
        send_text(system.app, f"text {number} sandbox:slow=8")
        send_media(system.app, f"https://img.example.com/{number}.jpg?sandbox=delay=20")
    eventually(lambda: system.calls(TEXT_PATH) == 10, "the calls are under way")
    system.server.process.terminate()
    system.server.process.wait()
    time.sleep(4)
    system.start_redis()
    result = send_text(system.app, "sandbox:risky")
    # what was sent before is forgotten, so nothing is sent for a while, which is brought to an end here
    for lane in LANES:
        quota = SHARD.of_lane(lane, APPID)[1]
        if lane == "media":
            waits = send_media(system.app, "https://img.example.com/b.jpg?sandbox=risky")
        eventually(partial(system.redis.hget, quota, "opens"), f"the {lane} lane pauses")
        system.redis.hdel(quota, "opens")
        system.open_lanes()
    assert verdict_of(result)["suggest"] == "risky"
    assert verdict_of(waits)["suggest"] == "risky"
    # the calls that were under way end on a connection that is gone: they must not end the worker either
    eventually(lambda: worker.output.count("Task wxcheck.check_text[") >= 20, "the calls have ended")
    assert verdict_of(send_media(system.app, "https://img.example.com/a.jpg?sandbox=risky"))["suggest"] == "risky"
    assert worker.process.poll() is None
    assert "Unrecoverable" not in worker.output
