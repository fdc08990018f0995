"""The parts of the local system that need no process do as they say.

Tests: ops.local.cases, ops.local.errors, ops.local.interrupt, ops.local.outcome, ops.local.platform_stats
Tests: ops.local.ports
"""

from __future__ import annotations

import os
import re
import signal
import socket
from dataclasses import replace

import pytest

from config.redis_url import place
from ops.local.cases import cases
from ops.local.errors import NoFreePort
from ops.local.interrupt import Interrupted, interruptible
from ops.local.outcome import Outcome, Run
from ops.local.platform_stats import PlatformStats
from ops.local.ports import free_port, is_free

TEXT = cases()[0]
PASSED = {"kind": "text", "suggest": "pass", "version": 1, "label": 100, "appid": "wx1", "trace_id": None, "detail": []}
SHOWN = Run("demo.publish_post", {"shown": True}, 0.0)


def test_a_port_that_somebody_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not is_free("127.0.0.1", server.getsockname()[1])


def test_a_free_port_can_be_listened_on_and_is_none_of_those_for_outgoing_connections() -> None:
    port = free_port()
    assert port < 32768
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_port_is_given_once_for_who_has_it_may_not_listen_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setattr("ops.local.ports._LOWEST", port)
    monkeypatch.setattr("ops.local.ports._HIGHEST", port)
    with pytest.raises(NoFreePort):
        free_port()


def test_where_every_port_is_taken_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr("ops.local.ports._LOWEST", port)
        monkeypatch.setattr("ops.local.ports._HIGHEST", port)
        with pytest.raises(NoFreePort, match="100 ports"):
            free_port()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("rediss://user:p%40ss@redis.example.com:6380/2?password=hush", "rediss://redis.example.com:6380/2"),
        ("redis://:hu@sh@[::1]:6379", "redis://[::1]:6379"),
        ("unix://:hush@/run/redis.sock?db=1", "unix:///run/redis.sock"),
    ],
)
def test_a_url_is_told_without_its_password(url: str, told: str) -> None:
    assert place(url) == told


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_that_comes_within_a_finalizer_is_not_lost() -> None:
    class Finalized:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted), interruptible():
        Finalized()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_interrupts_and_further_ones_do_not(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    steps = []

    def work_and_clean_up() -> None:
        try:
            os.kill(os.getpid(), number)
            steps.append("worked on")
        finally:
            os.kill(os.getpid(), number)
            steps.append("cleaned up")

    with pytest.raises(Interrupted) as interrupted, interruptible():
        work_and_clean_up()
    assert steps == ["cleaned up"]
    assert interrupted.value.exit_code == 128 + number
    assert signal.getsignal(number) == before


def test_a_case_that_came_out_as_it_should_has_no_faults() -> None:
    outcome = Outcome([PASSED], [SHOWN])
    assert outcome.complete
    assert outcome.faults(TEXT) == []


@pytest.mark.parametrize(
    ("outcome", "fault"),
    [
        (Outcome([{**PASSED, "suggest": "risky"}], [SHOWN]), r'expected \{.*"pass".*\}, came \{.*"risky".*\}'),
        (Outcome([{**PASSED, "version": 2}], [SHOWN]), r'came \{.*"version": 2\}'),
        (Outcome(["PlatformUnavailable"], [SHOWN]), "came PlatformUnavailable"),
        (Outcome([None], [SHOWN]), r"expected \{.*\}, came nothing"),
        (Outcome([PASSED], []), "expected one run of demo.publish_post .*, came nothing"),
        (Outcome([PASSED], [SHOWN, SHOWN]), "came demo.publish_post .*; demo.publish_post"),
        (Outcome([PASSED], [replace(SHOWN, outcome={"shown": False})]), r'came demo.publish_post \{"shown": false\}'),
        (Outcome([PASSED], [replace(SHOWN, task="demo.hide_photo")]), "came demo.hide_photo"),
    ],
)
def test_what_came_out_otherwise_is_told(outcome: Outcome, fault: str) -> None:
    (told,) = outcome.faults(TEXT)
    assert re.search(fault, told)


def test_an_album_is_complete_when_each_of_its_pictures_has_its_verdict() -> None:
    assert not Outcome(["MediaUnavailable", None, "MediaUnavailable"], [SHOWN]).complete
    assert not Outcome(["MediaUnavailable"] * 3, []).complete


def test_the_platform_must_have_been_called_and_have_pushed_as_often_as_the_cases_ask_for() -> None:
    every = cases()
    texts = 5
    media = sum(len(case.checks) for case in every) - texts - 1  # one is refused before any call
    repeated = 2
    assert PlatformStats(texts, media, media + repeated, 0).faults(every) == []
    assert PlatformStats(texts + 1, media, media + repeated, 0).faults(every) == [
        "the platform was asked for 6 texts, expected 5"
    ]
    assert len(PlatformStats(texts, media + 1, media, 0).faults(every)) == 2
