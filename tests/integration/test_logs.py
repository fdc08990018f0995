"""Real processes write lines of JSON by which the life of a check can be followed, without its content.

Tests: config.logs, worker.celery_parts.logs
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from celery.result import AsyncResult

from store.keys import COUNTERS
from store.places.vouching import vouch
from tests.support.checks import ended, failure_of, media_push, parked, push, send_media, send_text, waiting
from tests.support.processes import eventually
from tests.support.system import AES_KEY, APPID, PUSH_TOKEN, SECRET, System

#: in every text and every URL
HIDDEN = f"hush{uuid.uuid4().hex}"

KEYS = {"time", "level", "event", "message", "logger", "process", "task_id", "trace_id", "appid"}
PROCESSES = ("sandbox", "endpoint", "worker", "media")


class World:
    """A system of which every process writes its log into a file, and what it was made to check."""

    def __init__(self, system: System) -> None:
        self.system = system
        system.sandbox()
        vouch(system.redis, APPID)
        system.endpoint()
        system.worker("worker", "-c", "4", queues="wxcheck.text,wxcheck.push")
        self.file = system.directory / "media.lines"
        options = ["-P", "threads", "-c", "1", "-f", str(self.file)]
        command = ["celery", "-A", "worker", "worker", "-Q", "wxcheck.media", "-n", "media@%h", "--loglevel=INFO"]
        media = system.run("media", [*command, *options])

        def ready() -> bool:
            written = self.file.read_text() if self.file.exists() else ""
            assert media.process.poll() is None, media.output + written
            return " ready." in written

        eventually(ready, f"the worker of media is ready; see {self.file}")
        # the first run of all fetches the access token, and gives its check back
        ended(send_text(system.app, HIDDEN))

    def lines(self, process: str) -> list[dict[str, Any]]:
        """The lines that a process wrote; fails where one is no JSON."""
        (running,) = (started for started in self.system.started if started.name == process)
        files = [running.output, self.file.read_text() if process == "media" else ""]
        # the last line may be half written
        return [json.loads(line) for text in files for line in text.rpartition("\n")[0].splitlines()]

    def of(self, process: str, **identity: str) -> list[str]:
        """The events that a process said of a check, in their order."""
        return [line["event"] for line in self.lines(process) if identity.items() <= line.items()]

    def told(self, check: AsyncResult, event: str) -> dict[str, Any]:
        """The last line with this event of a check."""
        every = [line for process in PROCESSES for line in self.lines(process)]
        return [line for line in every if line["task_id"] == check.id and line["event"] == event][-1]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    system = System(tmp_path_factory.mktemp("logs"))
    try:
        yield World(system)
    finally:
        system.close()


@pytest.fixture(scope="module")
def text(world: World) -> AsyncResult:
    check = ended(send_text(world.system.app, f"{HIDDEN} sandbox:-1*1"))
    eventually(lambda: "task_succeeded" in world.of("worker", task_id=check.id), "the log says that it has succeeded")
    return check


@pytest.fixture(scope="module")
def picture(world: World) -> AsyncResult:
    check = send_media(world.system.app, f"https://a.example/{HIDDEN}.jpg?sandbox=lost")
    trace_id = waiting(check)
    parked(world.system, trace_id)
    eventually(lambda: "task_ignored" in world.of("media", task_id=check.id), "its first half is over")
    push(world.system, media_push(trace_id))
    ended(check)
    # the finish is on its way before the push's task says so
    told = {"push_matched", "task_succeeded"}
    eventually(lambda: told <= set(world.of("worker", task_id=check.id)), "the log says that it has succeeded")
    return check


def test_the_life_of_a_text_can_be_followed_by_its_id(world: World, text: AsyncResult) -> None:
    life = world.of("worker", task_id=text.id)
    assert life == ["task_received", "task_retried", "task_received", "task_succeeded"]
    assert world.told(text, "task_succeeded")["appid"] == APPID


def test_the_life_of_a_picture_can_be_followed_through_worker_and_endpoint(world: World, picture: AsyncResult) -> None:
    assert world.of("media", task_id=picture.id) == ["task_received", "parked", "task_ignored"]
    linked = world.told(picture, "parked")
    trace_id = linked["trace_id"]
    assert trace_id == picture.result["trace_id"]
    assert world.of("endpoint", trace_id=trace_id) == ["push_queued"]
    of_worker = world.of("worker", task_id=picture.id)
    assert sorted(of_worker) == ["push_matched", "task_received", "task_succeeded"]
    assert of_worker.index("task_received") < of_worker.index("task_succeeded")
    ids = {name: world.told(picture, "task_succeeded")[name] for name in ("task_id", "trace_id", "appid")}
    assert ids == {"task_id": picture.id, "trace_id": trace_id, "appid": APPID}


def test_every_line_of_every_process_is_json_with_the_same_keys_and_nothing_secret(
    world: World, text: AsyncResult, picture: AsyncResult
) -> None:
    system = world.system
    requests.post(f"{system.endpoint_url}/wechat/push/x%0aforged", data=HIDDEN, timeout=10)
    requests.post(f"{system.endpoint_url}/wechat/push", params={"signature": HIDDEN}, data=HIDDEN, timeout=10)
    refused = send_media(system.app, f"ftp://{HIDDEN}\n{HIDDEN}")
    failure_of(refused)
    unexpected = fail_unexpectedly(system)
    tokens = [str(value) for key in system.redis.scan_iter("wxcheck:{0}:token:*") for value in system.redis.hvals(key)]
    for process in PROCESSES[1:]:
        (running,) = (started for started in system.started if started.name == process)
        running.stop()
    for process in PROCESSES:
        lines = world.lines(process)
        assert lines
        for line in lines:
            assert set(line) >= KEYS
            assert line["process"].partition("@")[0] == process
            for secret in (HIDDEN, SECRET, PUSH_TOKEN, AES_KEY, *(token for token in tokens if len(token) > 20)):
                assert secret not in json.dumps(line)

    failed = world.told(unexpected, "task_failed")
    assert (failed["level"], failed["appid"]) == ("ERROR", APPID)
    assert failed["exception"].splitlines()[-1].startswith("ResponseError: WRONGTYPE")
    assert world.told(refused, "task_failed")["level"] == "INFO"
    told = [line for line in world.lines("endpoint") if line["event"] == "push_refused"]
    assert [(line["outcome"], line["appid"]) for line in told] == [("unknown_appid", None), ("bad_signature", APPID)]
    said = {line["event"] for process in PROCESSES for line in world.lines(process)}
    assert said >= {"worker_starts", "endpoint_starts", "sandbox_starts", "uvicorn", "celery", "task_ignored"}
    assert any("Warm shutdown" in line["message"] for line in world.lines("worker"))


def fail_unexpectedly(system: System) -> AsyncResult:
    """Has a check fail with an error that is no failure of the contract: the counters are of another kind."""
    system.redis.delete(COUNTERS)
    system.redis.set(COUNTERS, "of another kind")
    try:
        check = send_text(system.app, f"{HIDDEN} sandbox:errcode=44990")
        eventually(check.ready, "it fails")
    finally:
        system.redis.delete(COUNTERS)
    return check
