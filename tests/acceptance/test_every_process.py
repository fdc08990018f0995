"""Each process starts by the command line that operators use, works with the others, and stops.

Tests: callbacks.__main__, worker.celery, worker.celery_parts.consumer
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from celery import chain, chord
from celery.canvas import Signature
from celery.result import AsyncResult

from store.places.shard import SHARD
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, Running, eventually
from tests.support.system import APPID, QUEUES, System

BIN = Path(sys.executable).parent
CELERY = str(BIN / "celery")

#: the five commands, as the README and the compose file write them
WORKER = [CELERY, "-A", "worker", "worker", "-Q", QUEUES]
ENDPOINT = [sys.executable, "-m", "callbacks"]
FLOWER = [CELERY, "-A", "worker", "flower"]
SANDBOX = [sys.executable, "-m", "sandbox"]
WXCHECK = str(BIN / "wxcheck")

#: seconds that a process with nothing to do may take to stop
STOPPED_WITHIN = 20


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """Redis alone: each test starts the processes that it is about."""
    system = System(tmp_path)
    try:
        yield system
    finally:
        system.close()


@pytest.fixture
def platform(system: System) -> System:
    """Redis, sandbox and endpoint, no worker."""
    system.sandbox()
    system.endpoint()
    return system


def picture(directive: str = "pass") -> str:
    return f"https://img.example.com/{uuid.uuid4().hex}.jpg?sandbox={directive}"


def check(system: System, directive: str = "pass") -> Signature:
    return system.app.signature("wxcheck.check_media", kwargs={"media_url": picture(directive)}, queue="wxcheck.media")


def text(system: System, content: str) -> Signature:
    return system.app.signature("wxcheck.check_text", kwargs={"content": content}, queue="wxcheck.text")


def task(system: System, name: str, *args: Any) -> Signature:
    return system.app.signature(f"application.{name}", args=args, queue="application")


def suggested(result: AsyncResult) -> str:
    return str(result.get(timeout=PATIENCE)["suggest"])


def group_of(running: Running) -> list[str]:
    """The command lines of what still runs of a process' group."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if entry.name.isdigit() and os.getpgid(int(entry.name)) == running.process.pid:
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def stops_cleanly(running: Running) -> None:
    began = time.monotonic()
    running.process.terminate()
    assert running.process.wait(STOPPED_WITHIN + 10) == 0, running.output
    assert time.monotonic() - began < STOPPED_WITHIN, running.output
    eventually(lambda: not group_of(running), f"nothing of {running.name} is left", 5)
    assert "Traceback" not in running.output


# -- start and stop ------------------------------------------------------------------------------------------------


def test_every_process_starts_by_its_command_works_with_the_others_and_stops_on_sigterm(system: System) -> None:
    flower_port = free_port()
    processes = {
        "sandbox": (SANDBOX, "sandbox listening on"),
        "endpoint": (ENDPOINT, "listening on"),
        "worker": (WORKER, " ready."),
        "flower": ([*FLOWER, f"--port={flower_port}"], "Visit me"),
    }
    started = {name: system.run_fresh(name, command) for name, (command, _) in processes.items()}
    for name, (_, word) in processes.items():
        if name != "worker":  # it says so at INFO, and its command line does not ask for that
            started[name].wait_for(word)
    assert suggested(text(system, "a lovely day").apply_async()) == "pass"
    assert suggested(check(system, "risky").apply_async()) == "risky"

    for argument, code, word in [("sandbox:risky", 1, "risky"), (picture(), 0, "pass")]:
        done = wxcheck_command(system, "check", argument)
        assert (done.returncode, done.stdout.split()[0]) == (code, word), done.stderr
    pending = wxcheck_command(system, "pending", "--json")
    assert (pending.returncode, json.loads(pending.stdout)) == (0, [])

    health = f"http://127.0.0.1:{flower_port}/healthcheck"
    eventually(lambda: requests.get(health, timeout=PATIENCE).ok, "Flower answers")
    for running in started.values():
        stops_cleanly(running)


def wxcheck_command(system: System, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [WXCHECK, *arguments],
        cwd=system.directory,
        env={**os.environ, **system.environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


SECRETS = ("5ecretOfThisTest5ecretOfThisTest", "tokenThatNobodyMaySee", "keyThatIsTooShort", "passwordOfRedis")

#: faults of a kind that each process has to name
BAD = {
    "WXCHECK_SECRET": SECRETS[0],
    "WXCHECK_PUSH_TOKEN": SECRETS[1],
    "WXCHECK_PUSH_AES_KEY": SECRETS[2],
    "WXCHECK_REDIS_URL": f"http://:{SECRETS[3]}@127.0.0.1:1/0",
    "WXCHECK_API_TIMEOUT": "soon",
    "WXCHECK_CALLBACK_PORT": "70000",
    "WXCHECK_TOKEN_SOURCE": "somewhere",
}
NAMED = ("PUSH_AES_KEY", "REDIS_URL", "API_TIMEOUT", "CALLBACK_PORT", "TOKEN_SOURCE")


@pytest.mark.parametrize(
    "command",
    [WORKER, ENDPOINT, FLOWER, SANDBOX, [WXCHECK, "check", "a"], [WXCHECK, "pending"], [WXCHECK, "config", "show"]],
    ids=lambda command: " ".join(Path(part).name for part in command[:3]),
)
def test_bad_settings_stop_a_process_with_one_message_that_names_every_fault(
    command: list[str], tmp_path: Path
) -> None:
    with Running("wrong", command, BAD, tmp_path) as running:
        assert running.process.wait(30) != 0
    for name in NAMED:
        assert running.output.count(f"WXCHECK_{name}: ") == 1, running.output
    assert running.output.count("wxcheck cannot start") == 1
    assert "Traceback" not in running.output
    for secret in SECRETS:
        assert secret not in running.output


@pytest.mark.parametrize(
    ("command", "missing"),
    [(WORKER, ["APPID is missing"]), (ENDPOINT, ["APPID is missing"])],
    ids=["worker", "endpoint"],
)
def test_a_process_without_what_it_needs_says_what_is_missing(
    command: list[str], missing: list[str], tmp_path: Path
) -> None:
    with Running("wanting", command, {}, tmp_path) as running:
        assert running.process.wait(30) != 0
    for words in missing:
        assert f"WXCHECK_{words}" in running.output
    assert running.output.count("wxcheck cannot start") == 1
    assert "Traceback" not in running.output


@pytest.mark.parametrize(
    ("command", "missing"), [(WORKER, "SECRET"), (ENDPOINT, "PUSH_TOKEN")], ids=["worker", "endpoint"]
)
def test_a_process_asks_only_for_the_secrets_that_it_uses(command: list[str], missing: str, tmp_path: Path) -> None:
    with Running("wanting", command, {"WXCHECK_APPID": APPID}, tmp_path) as running:
        assert running.process.wait(30) != 0
    assert re.findall(r"WXCHECK_(\w+) is missing", running.output) == [missing]


# -- queues, pools and several workers -----------------------------------------------------------------------------


def test_a_worker_for_each_queue_and_pool_together_run_chains_and_chords(platform: System) -> None:
    # a media check is sent by one worker, and another one tells its end
    media = platform.worker("media", "-P", "threads", "-c", "2", queues="wxcheck.media")
    assert "concurrency: 2 (threads)" in media.output
    platform.worker("push", queues="wxcheck.push")
    platform.worker("text", "-P", "solo", queues="wxcheck.text")
    platform.application()
    header = [check(platform, directive) for directive in ("risky,delay=0.5", "early", "risky", "repeat=3")]
    album = chord(header)(task(platform, "album"))
    chains = [chain(check(platform), task(platform, "publish", item)).apply_async() for item in range(4)]
    texts = [text(platform, content).apply_async() for content in ("a lovely day", "sandbox:risky")]
    assert album.get(timeout=PATIENCE) == ["risky", "pass", "risky", "pass"]
    assert [result.get(timeout=PATIENCE)["item"] for result in chains] == [0, 1, 2, 3]
    assert [suggested(result) for result in texts] == ["pass", "risky"]


@pytest.mark.parametrize("pool", [["threads", "-c", "2"], ["solo"]], ids=["two threads", "solo"])
def test_one_worker_of_any_pool_does_it_all(platform: System, pool: list[str]) -> None:
    worker = platform.worker("worker", "-P", *pool)
    platform.application()
    album = chord([check(platform, "early"), check(platform, "risky")])(task(platform, "album"))
    failing = chain(check(platform, "unfetchable"), task(platform, "publish", 1))
    failed = failing.apply_async(link_error=task(platform, "hide", 1))
    assert album.get(timeout=PATIENCE) == ["pass", "risky"]
    with pytest.raises(Exception, match="-1008"):
        failed.parent.get(timeout=PATIENCE)
    assert suggested(text(platform, "sandbox:risky").apply_async()) == "risky"
    eventually(lambda: "hide" in str(platform.redis.lrange("application:runs", 0, -1)), "the errback runs")
    stops_cleanly(worker)


# -- stopping and starting again -----------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", [["threads", "-c", "4"], ["solo"]], ids=["threads", "solo"])
def test_a_worker_that_is_stopped_under_load_loses_no_check(platform: System, pool: list[str]) -> None:
    # slow, so that it is stopped before it has done it all
    platform.tell_sandbox(answer_seconds=[2, 3])
    first = platform.worker("first", "-P", *pool, WXCHECK_API_TIMEOUT="15")
    results = [check(platform).apply_async() for _ in range(10)]
    results += [text(platform, f"text {number}").apply_async() for number in range(10)]
    eventually(lambda: platform.sandbox_stats()["calls"].get("/wxa/media_check_async"), "calls are under way")
    stops_cleanly(first)
    waiting = [result for result in results if not result.ready()]
    assert waiting, "the test was to stop the worker before it had done it all"
    platform.tell_sandbox(answer_seconds=[0, 0])
    platform.worker("second")
    assert [suggested(result) for result in results] == ["pass"] * 20
    # calls that were under way were ended and none was sent again: the platform refuses a file that comes too often
    assert platform.calls("/wxa/media_check_async") == 10
    places = [SHARD.key(name) for name in ("messages", "hand", "parked", "outbox")]
    eventually(lambda: not platform.redis.exists("wxcheck:unacked", *places), "nothing is left in the store")


def test_checks_wait_on_over_a_restart_of_worker_and_endpoint(system: System) -> None:
    system.sandbox()
    endpoint = system.endpoint()
    worker = system.worker()
    system.application()
    system.tell_sandbox(push_delay=[8, 8], push_retry_seconds=1, push_attempts=30)
    flows = [chain(check(system, "risky"), task(system, "publish", item)).apply_async() for item in range(3)]
    eventually(lambda: all(flow.parent.state == "WAITING" for flow in flows), "every check waits")
    stops_cleanly(worker)
    stops_cleanly(endpoint)
    assert system.redis.zcard(SHARD.key("parked")) == 3
    system.endpoint()
    system.worker("again")
    listed = json.loads(wxcheck_command(system, "pending", "--json").stdout)
    assert {entry["task_id"] for entry in listed} <= {flow.parent.id for flow in flows}
    assert [flow.get(timeout=PATIENCE) for flow in flows] == [{"item": item, "shown": False} for item in range(3)]
    assert system.calls("/wxa/media_check_async") == 3
    assert system.redis.llen("application:runs") == 3


def test_a_check_whose_worker_is_killed_is_done_again_by_another_one(platform: System) -> None:
    platform.tell_sandbox(answer_seconds=[8, 8])
    worker = platform.worker("worker", WXCHECK_API_TIMEOUT="5")
    result = text(platform, "a lovely day").apply_async()
    eventually(lambda: platform.sandbox_stats()["calls"].get("/wxa/msg_sec_check"), "the call is under way")
    worker.kill()
    platform.tell_sandbox(answer_seconds=[0, 0])
    platform.worker("another", WXCHECK_API_TIMEOUT="5")
    assert suggested(result) == "pass"
