"""Celery's own inspect and control commands show what operators need, and nothing of a check's content."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.result import AsyncResult

from tests.support.processes import PATIENCE, eventually
from tests.support.system import System

CELERY = str(Path(sys.executable).parent / "celery")

#: a word that is nowhere but in what users wrote
CONTENT = "Geheimwort"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    system = System(tmp_path_factory.mktemp("system"), MEDIA_PER_MINUTE="1234", API_TIMEOUT="30")
    try:
        system.sandbox()
        system.endpoint()
        system.worker()
        yield system
    finally:
        system.close()


def send_picture(system: System, directive: str, url: str = "https://img.example.com") -> AsyncResult:
    kwargs = {"media_url": f"{url}/{uuid.uuid4().hex}.jpg?sandbox={directive}"}
    return system.app.send_task("wxcheck.check_media", kwargs=kwargs, queue="wxcheck.media")


def celery_command(system: System, *arguments: str) -> str:
    """The output of ``celery -A worker …``."""
    command = [CELERY, "-A", "worker", *arguments]
    environment = {**os.environ, **system.environment}
    cwd = system.directory
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def inspection(system: System) -> Any:
    """The object that ``celery inspect`` asks with; it starts no process, and waits for no second worker."""
    return system.app.control.inspect(timeout=PATIENCE, limit=1)


def test_inspect_shows_the_queues_the_tasks_and_nothing_of_a_checks_content(system: System) -> None:
    (queues,) = json.loads(celery_command(system, "inspect", "active_queues", "--json")).values()
    assert {queue["name"] for queue in queues} == {"wxcheck.text", "wxcheck.media", "wxcheck.push"}
    (registered,) = (inspection(system).registered("rate_limit") or {}).values()
    assert "wxcheck.check_media [rate_limit=1234/m]" in registered
    (sandbox,) = (running for running in system.started if running.name == "sandbox")
    sandbox.freeze()  # the call is under way for as long as the test looks
    try:
        text = system.app.send_task("wxcheck.check_text", [f"{CONTENT} sandbox:pass"], queue="wxcheck.text")
        told = [""]

        def is_shown() -> bool:
            told.append(json.dumps(inspection(system).active(), ensure_ascii=False))
            return text.id in told[-1]

        eventually(is_shown, "the check is shown while its call is under way")
        assert CONTENT not in told[-1]
    finally:
        sandbox.thaw()
    assert text.get(timeout=PATIENCE)["suggest"] == "pass"


def test_control_takes_a_queue_from_a_worker_and_gives_it_back(system: System) -> None:
    def queues() -> set[str]:
        replies = inspection(system).active_queues() or {}
        return {queue["name"] for consumed in replies.values() for queue in consumed}

    assert "ok" in celery_command(system, "control", "cancel_consumer", "wxcheck.text").lower()
    eventually(lambda: queues() == {"wxcheck.media", "wxcheck.push"}, "the worker leaves the texts alone")
    queued = system.app.send_task("wxcheck.check_text", ["a lovely day"], queue="wxcheck.text")
    assert send_picture(system, "pass").get(timeout=PATIENCE)["suggest"] == "pass"
    assert not queued.ready()
    celery_command(system, "control", "add_consumer", "wxcheck.text")
    assert queued.get(timeout=PATIENCE)["suggest"] == "pass"


def test_a_rate_limit_that_control_sets_does_not_starve_a_worker(system: System) -> None:
    celery_command(system, "control", "rate_limit", "wxcheck.check_text", "1/h")
    try:
        results = [system.app.send_task("wxcheck.check_text", ["a"], queue="wxcheck.text") for _ in range(3)]
        assert [result.get(timeout=PATIENCE)["suggest"] for result in results] == ["pass"] * 3
    finally:
        system.app.control.rate_limit("wxcheck.check_text", "4000/m", reply=True, limit=1, timeout=PATIENCE)
