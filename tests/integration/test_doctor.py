"""``wxcheck doctor`` compares the count of this system with the platform's, and tells each fault with its remedy.

Tests: ops.cli.doctor, ops.doctor.platform
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from store import keys
from store.places.shard import SHARD
from tests.support.checks import send_text, verdict_of
from tests.support.commands import wxcheck_command
from tests.support.processes import eventually
from tests.support.system import APPID, OTHER_APPID, SECRET, KeepingSystem, System


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    system = KeepingSystem(tmp_path)
    try:
        yield system
    finally:
        system.close()


def doctor(system: System, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return wxcheck_command(system, "doctor", *arguments, **settings)


def findings(system: System, **settings: str) -> dict[str, dict[str, Any]]:
    ran = doctor(system, "--json", **settings)
    return {found["subject"]: found for found in json.loads(ran.stdout)}


def test_it_compares_the_count_with_the_platforms_and_the_higher_one_counts(system: System) -> None:
    system.sandbox()
    system.worker()
    system.endpoint()
    eventually(lambda: system.redis.hlen(keys.PROCESSES) == 2, "both say that they run")
    for _ in range(3):
        verdict_of(send_text(system.app, "what a lovely day"))
    ran = doctor(system)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    said = "3 calls today: 3 counted here, 3 at WeChat; 4,000 a minute and 2,000,000 a day are sent at most"
    assert f"OK  {APPID} text: {said}" in ran.stdout.splitlines()

    # fewer are counted here: somebody else has called
    system.redis.hset(SHARD.of_lane("text", APPID)[1], "used", 1)
    found = findings(system)[f"{APPID} text"]
    assert found["well"]
    assert found["said"].startswith("3 calls today: 1 counted here, 3 at WeChat")
    assert system.redis.hget(SHARD.of_lane("text", APPID)[1], "used") == "3"

    # more are counted here: what the platform says takes nothing back
    system.redis.hset(SHARD.of_lane("text", APPID)[1], "used", 9)
    assert findings(system)[f"{APPID} text"]["said"].startswith("9 calls today: 9 counted here, 3 at WeChat")
    assert system.redis.hget(SHARD.of_lane("text", APPID)[1], "used") == "9"


def test_a_quota_above_what_the_platform_grants_is_told_with_the_setting_to_change(system: System) -> None:
    system.sandbox("--option", "text_per_day=100")
    ran = doctor(system)
    assert ran.returncode == 1
    [line] = [line for line in ran.stdout.splitlines() if f" {APPID} text" in line]
    assert line.startswith("!!")
    assert "WXCHECK_TEXT_PER_DAY is 2,000,000, and WeChat grants 100" in line
    assert "set it to that, or less" in ran.stdout
    assert findings(system, TEXT_PER_DAY="100")[f"{APPID} text"]["well"]


def test_an_appid_that_the_platform_refuses_is_told_and_the_others_are_looked_at(system: System) -> None:
    system.sandbox()
    wrong = {"APPS": json.dumps({OTHER_APPID: {"secret": "wrong"}})}
    found = findings(system, **wrong)
    assert found[f"{APPID} token"]["well"]
    assert all(found[f"{APPID} {lane}"]["well"] for lane in ("text", "media"))
    assert not found[f"{OTHER_APPID} token"]["well"]
    assert "40125" in found[f"{OTHER_APPID} token"]["said"]
    assert "WXCHECK_SECRET" in found[f"{OTHER_APPID} token"]["remedy"]
    ran = doctor(system, **wrong)
    assert ran.returncode == 1
    assert SECRET not in ran.stdout + ran.stderr


def test_a_platform_that_cannot_be_reached_is_told(system: System) -> None:
    found = findings(system)  # no sandbox runs
    assert not found["the platform"]["well"]
    assert f"{system.sandbox_url} does not answer: the connection is refused" in found["the platform"]["said"]
    assert f"{APPID} token" not in found


def test_a_store_that_is_away_is_told_with_the_remedy(system: System) -> None:
    system.server.kill()
    eventually(lambda: system.server.process.poll() is not None, "Redis has gone")
    ran = doctor(system)
    assert ran.returncode == 1
    assert "!!  the store: ConnectionError" in ran.stdout
    assert "the platform" not in ran.stdout
    assert "WXCHECK_REDIS_URL" in ran.stdout
    assert "Traceback" not in ran.stderr


def test_settings_that_are_wrong_are_told_first(system: System) -> None:
    ran = doctor(system, TEXT_PER_DAY="many")
    assert ran.returncode == 1
    assert "!!  settings: WXCHECK_TEXT_PER_DAY" in ran.stdout


def test_a_redis_that_loses_checks_by_itself_is_told_with_the_remedy(tmp_path: Path) -> None:
    system = System(tmp_path)
    try:
        system.sandbox()
        system.redis.config_set("maxmemory-policy", "allkeys-lru")
        # where the results are apart, chords are there
        apart = {"RESULT_BACKEND": system.database_url(3)}
        ran = doctor(system, **apart)
        assert ran.returncode == 1
        assert ran.stdout.count("!!  the store: ") == ran.stdout.count("!!  the result backend: ") == 2
        for remedy in ("set maxmemory-policy noeviction", "set appendonly yes"):
            assert f"      {remedy}" in ran.stdout.splitlines()
        worker = system.worker("worker", queues="wxcheck.text", WXCHECK_RESULT_BACKEND=apart["RESULT_BACKEND"])

        def tells_both(role: str) -> bool:
            return worker.output.count(f"redis_unsafe: {role}: ") == 2

        for role in ("the store", "the result backend"):
            eventually(partial(tells_both, role), f"the worker's log tells both of {role}")
    finally:
        system.close()


def test_a_redis_that_keeps_what_it_has_is_said_to_be_well(system: System) -> None:
    system.sandbox()
    assert findings(system)["the store"]["well"]
