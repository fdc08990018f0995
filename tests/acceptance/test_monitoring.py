"""What operators see: Flower's pages, and Celery's own inspect and control commands."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from celery.result import AsyncResult

from tests.support.ports import free_port
from tests.support.processes import PATIENCE, eventually
from tests.support.system import System

CELERY = str(Path(sys.executable).parent / "celery")

#: a word that is nowhere but in what users wrote
CONTENT = "Geheimwort"


class Flower:
    """``celery -A worker flower`` and its pages, as a browser gets them."""

    def __init__(self, system: System) -> None:
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        # an operator's browser has a password instead; the pages themselves are open by default
        command = ["celery", "-A", "worker", "flower", f"--port={port}"]
        self.running = system.run("flower", command, FLOWER_UNAUTHENTICATED_API="true")
        self.running.wait_for("Visit me")

    def page(self, path: str) -> str:
        """The words on a page, without its tags; empty where there is no such page."""
        answer = requests.get(f"{self._url}{path}", timeout=10)
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", answer.text)).split()) if answer.ok else ""

    def info(self, task_id: str) -> dict[str, Any]:
        """What Flower knows of a task; empty where it does not know it (yet)."""
        answer = requests.get(f"{self._url}/api/task/info/{task_id}", timeout=10)
        return dict(answer.json()) if answer.ok else {}

    def apply_rate(self, worker: str, number: int) -> requests.Response:
        """Types a number into the text check's field on the worker's page and presses its button: what this sends."""
        data = {"workername": worker, "ratelimit": number}
        return requests.post(f"{self._url}/api/task/rate-limit/wxcheck.check_text", data=data, timeout=10)

    def state(self, task_id: str) -> str | None:
        return self.info(task_id).get("state")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    system = System(tmp_path_factory.mktemp("system"), MEDIA_PER_MINUTE="1234")
    try:
        system.sandbox()
        system.endpoint()
        system.worker()
        yield system
    finally:
        system.close()


@pytest.fixture(scope="module")
def flower(system: System) -> Flower:
    flower = Flower(system)

    def sees_events() -> bool:
        # it has to have subscribed before the events that a test is about
        probe = system.app.send_task("wxcheck.check_text", ["hello"], queue="wxcheck.text")
        probe.get(timeout=PATIENCE)
        return bool(flower.info(probe.id))

    eventually(sees_events, "Flower sees events")
    return flower


def send_picture(system: System, directive: str, url: str = "https://img.example.com") -> AsyncResult:
    kwargs = {"media_url": f"{url}/{uuid.uuid4().hex}.jpg?sandbox={directive}"}
    return system.app.send_task("wxcheck.check_media", kwargs=kwargs, queue="wxcheck.media")


def test_flower_shows_a_check_by_its_name_while_it_waits_and_when_it_is_done(system: System, flower: Flower) -> None:
    check = send_picture(system, "risky,delay=3")
    eventually(lambda: flower.state(check.id) == "WAITING", "Flower shows that the check waits")
    assert flower.info(check.id)["name"] == "wxcheck.check_media"
    page = flower.page(f"/task/{check.id}")
    assert "Name wxcheck.check_media" in page
    assert "WAITING" in page
    check.get(timeout=PATIENCE)
    eventually(lambda: flower.state(check.id) == "SUCCESS", "Flower shows that the check is done")
    assert flower.info(check.id)["name"] == "wxcheck.check_media"
    assert "'suggest': 'risky'" in flower.info(check.id)["result"]
    page = flower.page(f"/task/{check.id}")
    assert "Name wxcheck.check_media" in page
    assert "SUCCESS" in page


def test_flower_shows_a_failed_check_with_its_reason(system: System, flower: Flower) -> None:
    check = send_picture(system, "unfetchable")
    eventually(lambda: flower.state(check.id) == "FAILURE", "Flower shows that the check failed")
    info = flower.info(check.id)
    assert (info["name"], "MediaUnavailable" in info["exception"]) == ("wxcheck.check_media", True)


def test_flower_shows_nothing_of_what_users_wrote(system: System, flower: Flower) -> None:
    text = system.app.send_task("wxcheck.check_text", [f"{CONTENT} sandbox:risky"], queue="wxcheck.text")
    check = send_picture(system, "pass", f"https://img.example.com/{CONTENT}")
    for result in (text, check):
        assert result.get(timeout=PATIENCE)
        eventually(lambda result=result: flower.state(result.id) == "SUCCESS", "Flower shows the check as done")
        assert flower.info(result.id)["kwargs"] == "{…}"
        for shown in (flower.page(f"/task/{result.id}"), json.dumps(flower.info(result.id), ensure_ascii=False)):
            assert result.id in shown
            assert CONTENT not in shown


def test_flower_lists_the_quotas_of_the_checks_on_the_workers_page(system: System, flower: Flower) -> None:
    name = f"worker@{os.uname().nodename}"

    def page() -> str:
        return flower.page(f"/worker/{name}?refresh=true")

    eventually(lambda: "wxcheck.check_media" in page(), "Flower knows the worker's tasks")
    shown = page()
    assert "wxcheck.check_media [rate_limit=1234/m]" in shown
    assert "wxcheck.check_text [rate_limit=4000/m]" in shown


def test_flowers_button_changes_the_rate_of_every_worker_and_not_beyond_the_quota(
    system: System, flower: Flower
) -> None:
    name = f"worker@{os.uname().nodename}"
    other = system.worker("other", queues="wxcheck.text")

    def registered() -> str:
        return celery_command(system, "inspect", "registered", "rate_limit")

    eventually(lambda: "wxcheck.check_text" in flower.page(f"/worker/{name}?refresh=true"), "Flower knows the worker")
    answer = flower.apply_rate(name, 10)
    assert answer.ok
    assert answer.json()["message"].startswith("600/m for all workers")
    eventually(lambda: registered().count("wxcheck.check_text [rate_limit=600/m]") == 2, "both go by it")

    refused = flower.apply_rate(name, 600)
    assert refused.status_code == 403
    assert "'600' is 36000 calls a minute, and the quota is 4000" in html.unescape(refused.text)
    assert registered().count("wxcheck.check_text [rate_limit=600/m]") == 2

    assert "4000/m" in flower.apply_rate(name, 0).json()["message"]
    eventually(lambda: registered().count("wxcheck.check_text [rate_limit=4000/m]") == 2, "both are back")
    assert other.stop() == 0


def celery_command(system: System, *arguments: str) -> str:
    """What ``celery -A worker …`` prints."""
    command = [CELERY, "-A", "worker", *arguments]
    environment = {**os.environ, **system.environment}
    cwd = system.directory
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_inspect_shows_the_queues_the_tasks_and_nothing_of_a_checks_content(system: System) -> None:
    (queues,) = json.loads(celery_command(system, "inspect", "active_queues", "--json")).values()
    assert {queue["name"] for queue in queues} == {"wxcheck.text", "wxcheck.media", "wxcheck.push"}
    (registered,) = json.loads(celery_command(system, "inspect", "registered", "--json")).values()
    assert "wxcheck.check_media [rate_limit=1234/m]" in registered
    text = system.app.send_task("wxcheck.check_text", [f"{CONTENT} sandbox:slow=2.5"], queue="wxcheck.text")
    eventually(lambda: system.calls("/wxa/msg_sec_check"), "the call is under way")
    # as ``celery inspect active`` asks, whose start may take longer than the call
    shown = json.dumps(system.app.control.inspect(timeout=2).active(), ensure_ascii=False)
    assert text.id in shown
    assert CONTENT not in shown
    assert text.get(timeout=PATIENCE)["suggest"] == "pass"


def test_control_takes_a_queue_from_a_worker_and_gives_it_back(system: System) -> None:
    def queues() -> set[str]:
        replies = system.app.control.inspect(timeout=2).active_queues() or {}
        return {queue["name"] for consumed in replies.values() for queue in consumed}

    assert "ok" in celery_command(system, "control", "cancel_consumer", "wxcheck.text").lower()
    eventually(lambda: queues() == {"wxcheck.media", "wxcheck.push"}, "the worker leaves the texts alone")
    held = system.app.send_task("wxcheck.check_text", ["a lovely day"], queue="wxcheck.text")
    assert send_picture(system, "pass").get(timeout=PATIENCE)["suggest"] == "pass"
    assert not held.ready()
    celery_command(system, "control", "add_consumer", "wxcheck.text")
    assert held.get(timeout=PATIENCE)["suggest"] == "pass"


def test_a_rate_limit_that_control_sets_does_not_starve_a_worker(system: System) -> None:
    celery_command(system, "control", "rate_limit", "wxcheck.check_text", "1/h")
    try:
        results = [system.app.send_task("wxcheck.check_text", ["a"], queue="wxcheck.text") for _ in range(3)]
        assert [result.get(timeout=PATIENCE)["suggest"] for result in results] == ["pass"] * 3
    finally:
        celery_command(system, "control", "rate_limit", "wxcheck.check_text", "4000/m")
