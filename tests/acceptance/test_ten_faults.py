"""An operator finds each of ten faults from the board's first line, and by ``wxcheck doctor``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.checks import age, parked, picture, send_media, send_text, verdict_of, waiting, words
from tests.support.forked import WXCHECK, run
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, ROOT, eventually
from tests.support.system import APPID, QUEUES, KeepingSystem, System


class Operated:
    """A system with a board, as its operator sees it."""

    def __init__(self, system: System) -> None:
        self.system = system
        #: settings that all of its processes, the operator's own commands among them, have besides
        self.settings: dict[str, str] = {}
        self._url = ""

    def board(self) -> None:
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        board = self.system.run("board", [WXCHECK, "board", "--port", str(port)], **self.settings)
        board.wait_for("board: http")

    def troubles(self) -> list[dict[str, Any]]:
        """The sentences of the board, its first line first."""
        numbers: dict[str, Any] = requests.get(f"{self._url}/numbers.json", timeout=PATIENCE).json()
        found: list[dict[str, Any]] = numbers["troubles"]
        return found

    def first_line(self, key: str) -> str:
        """Waits until the board's first line is of that trouble; what it says, and the remedy."""

        seen: list[dict[str, Any]] = []

        def is_first() -> bool:
            # kept: while the store is late for a moment, that is what the board says first
            seen[:] = self.troubles()
            return bool(seen) and seen[0]["key"] == key

        eventually(is_first, f"the board says {key} first")
        trouble = seen[0]
        assert trouble["said"]["zh"]
        assert trouble["remedy"]["zh"]
        return f"{trouble['said']['en']} {trouble['remedy']['en']}"

    def doctor(self, code: int = 1) -> str:
        """The output of ``wxcheck doctor``, which ends with this exit code."""
        environment = {**os.environ, **self.system.environment, **self.settings}
        ran = run([WXCHECK, "doctor"], self.system.directory, environment, timeout=90)
        assert ran.returncode == code, ran.stdout + ran.stderr
        assert ran.stderr == ""
        return ran.stdout

    def metrics(self) -> str:
        """The metrics of the endpoint."""
        return requests.get(f"{self.system.endpoint_url}/metrics", timeout=20).text

    def status(self) -> dict[str, Any]:
        """The output of ``wxcheck status``."""
        environment = {**os.environ, **self.system.environment, **self.settings}
        ran = run([WXCHECK, "status", "--json"], self.system.directory, environment, timeout=90)
        told: dict[str, Any] = json.loads(ran.stdout)
        return told


@pytest.fixture
def operated(tmp_path: Path) -> Iterator[Operated]:
    # Mini Programs with one alone: its checks have the queues for themselves
    system = KeepingSystem(tmp_path, APPS="")
    try:
        yield Operated(system)
    finally:
        system.close()


def start(operated: Operated, *sandbox: str, queues: str = QUEUES) -> None:
    operated.system.sandbox(*sandbox)
    operated.system.worker(queues=queues, **operated.settings)
    operated.system.endpoint(**operated.settings)
    operated.board()


def lines(printed: str, mark: str = "!!") -> list[str]:
    """The lines that tell a fault, each with that of its remedy."""
    every = printed.splitlines()
    return [f"{line} {every[number + 1].strip()}" for number, line in enumerate(every) if line.startswith(mark)]


def test_nothing_is_wrong_where_nothing_is(operated: Operated) -> None:
    operated.settings["WXCHECK_PUSH_URL"] = f"{operated.system.endpoint_url}/wechat/push"
    start(operated)
    verdict_of(send_text(operated.system.app, words()))
    verdict_of(send_media(operated.system.app, picture()))
    eventually(lambda: operated.troubles() == [], "the board says that all is well")
    printed = operated.doctor(code=0)
    assert printed.splitlines()[-1] == "Nothing is wrong."
    assert "answers as WeChat wants it" in printed
    assert operated.status()["troubles"] == []


def test_a_wrong_secret(operated: Operated) -> None:
    operated.settings["WXCHECK_SECRET"] = "f" * 32
    start(operated)
    send_text(operated.system.app, words())
    said = operated.first_line("appid_refused")
    assert "40125" in said
    assert "WXCHECK_SECRET" in said
    (token, *_) = [line for line in lines(operated.doctor()) if f"{APPID} token" in line]
    assert "40125" in token
    assert "WXCHECK_SECRET" in token


def test_a_wrong_push_token(operated: Operated) -> None:
    operated.settings["WXCHECK_PUSH_TOKEN"] = "someOtherToken"
    start(operated)
    send_media(operated.system.app, picture())
    said = operated.first_line("push_bad_signature")
    assert "PUSH_TOKEN" in said
    told = [line for line in lines(operated.doctor()) if "bad_signature" in line]
    assert any("PUSH_TOKEN" in line for line in told)
    # the doctor's own check of the push URL hides nothing once it is counted
    counted = 'wxcheck_push_requests_total{outcome="url_check"} 1.0'
    eventually(lambda: counted in operated.metrics(), "the doctor's check is in the store")
    assert operated.first_line("push_bad_signature") == said
    assert [line for line in lines(operated.doctor()) if "bad_signature" in line] == told


def test_an_ip_that_is_not_listed(operated: Operated) -> None:
    start(operated, "--option", "ip_refused=true")
    send_text(operated.system.app, words())
    said = operated.first_line("appid_refused")
    assert "40164" in said
    assert "IP list" in said
    assert any("40164" in line and "IP list" in line for line in lines(operated.doctor()))


def test_a_broker_that_is_away(operated: Operated) -> None:
    start(operated)
    verdict_of(send_text(operated.system.app, words()))
    operated.system.server.kill()
    said = operated.first_line("store_away")
    assert operated.system.redis_url.removeprefix("redis://").split("/")[0] in said
    assert "WXCHECK_REDIS_URL" in said
    assert any("the store" in line and "WXCHECK_REDIS_URL" in line for line in lines(operated.doctor()))


def test_a_redis_without_aof(tmp_path: Path) -> None:
    system = System(tmp_path, APPS="")
    try:
        operated = Operated(system)
        start(operated)
        said = operated.first_line("redis_unsafe")
        assert "Set appendonly yes" in said
        assert any("appendonly no" in line and "set appendonly yes" in line for line in lines(operated.doctor()))
    finally:
        system.close()


def test_a_worker_that_is_missing_for_one_queue(operated: Operated) -> None:
    start(operated, queues="wxcheck.text,wxcheck.media")
    said = operated.first_line("no_worker")
    assert "No worker serves wxcheck.push" in said
    assert "celery -A worker worker -Q wxcheck.push" in said
    (found,) = [line for line in lines(operated.doctor()) if "wxcheck.push" in line]
    assert "celery -A worker worker -Q wxcheck.push" in found


def test_a_day_quota_that_is_gone(operated: Operated) -> None:
    operated.settings["WXCHECK_TEXT_PER_DAY"] = "2"
    start(operated, "--option", "text_per_day=2")
    for _ in range(2):
        verdict_of(send_text(operated.system.app, words()))
    send_text(operated.system.app, words())
    said = operated.first_line("day_quota_gone")
    assert f"{APPID} text" in said
    assert "until 00:00" in said
    assert any("the day's quota of 2 is gone" in line for line in lines(operated.doctor()))


def test_a_push_url_that_cannot_be_reached(operated: Operated) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}/wechat/push"
    operated.settings["WXCHECK_PUSH_URL"] = nowhere
    start(operated, "--push-url", nowhere)
    check = send_media(operated.system.app, picture())
    parked(operated.system, waiting(check))
    # ten minutes pass
    age(operated.system, check.id, 600)
    said = operated.first_line("pushes_silent")
    assert "1 checks wait" in said
    assert "push URL" in said
    (found,) = [line for line in lines(operated.doctor()) if "push URL:" in line]
    assert f"{nowhere} cannot be reached: the connection is refused" in found


def test_a_clock_that_is_off_by_an_hour(operated: Operated) -> None:
    operated.system.sandbox()
    operated.system.worker()
    shifted = f"{ROOT / 'tests' / 'support' / 'shifted_clock'}{os.pathsep}{ROOT}"
    operated.system.endpoint(PYTHONPATH=shifted, SHIFT_SECONDS="3600")
    operated.board()
    send_media(operated.system.app, picture())
    said = operated.first_line("clock_off")
    assert "60 min ahead of that of Redis" in said
    assert "NTP" in said
    assert any(line.startswith("!!  clock of ") and "3600 s ahead" in line for line in lines(operated.doctor()))


def test_a_platform_that_is_down(operated: Operated) -> None:
    operated.system.worker()
    operated.system.endpoint()
    operated.board()
    send_text(operated.system.app, words())
    said = operated.first_line("platform_away")
    assert "wxcheck doctor" in said
    assert any(
        "the platform" in line and f"{operated.system.sandbox_url} does not answer" in line
        for line in lines(operated.doctor())
    )
