"""Each process works with the rights that ``docs/redis.md`` gives its user.

Tests: store.redis_check, store.redis_needs

It says at its start which right lacks, and loses no check where a right is taken away.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from celery import Celery, chain, chord

from config.settings import Settings
from ops.local.redis_server import answers, embedded_redis
from store.redis_needs import needs
from tests.support.checks import failure_of, parked, picture, runs, send_media, waiting, words
from tests.support.commands import wxcheck_command
from tests.support.ports import free_port
from tests.support.processes import ROOT, Running, eventually
from tests.support.system import APPID, PUSH_TOKEN, QUEUES, SECRET, System, plain_client
from wxcheck import CheckCancelled, PlatformUnavailable

DOCUMENTED = {
    user.removeprefix("wxcheck-"): rules
    for user, rules in re.findall(
        r"^ACL SETUSER (\S+) on >PASSWORD (.*)$", (ROOT / "docs/redis.md").read_text(encoding="utf-8"), re.MULTILINE
    )
}
WORKER = ["celery", "-A", "worker", "worker", "-Q", QUEUES, "--loglevel=INFO"]
STARTS = {"worker": WORKER, "endpoint": ["callbacks"], "board": ["ops.cli", "board", "--port", "0"]}
#: who redis-py is, and settings of Redis that its users may hide
DISPENSABLE = ("client|setinfo", "config|get")
READY = {"worker": " ready.", "endpoint": "listening on", "board": "board:"}


class Users:
    """The users of one Redis."""

    def __init__(self, system: System) -> None:
        self._system = system

    def url(self, name: str) -> str:
        """The URL by which ``name``, with the rights that are documented, reaches Redis."""
        self.may(name, f"on >hushhush {DOCUMENTED[name]}")
        return self._system.redis_url.replace("//", f"//{name}:hushhush@")

    def may(self, name: str, rules: str) -> None:
        self._system.redis.execute_command("ACL", "SETUSER", name, *rules.split())

    def refused(self) -> list[str]:
        """The commands that were refused to anybody, but for those that nobody needs."""
        told = [
            dict(zip(entry[::2], entry[1::2], strict=True)) if isinstance(entry, list) else entry
            for entry in self._system.redis.execute_command("ACL", "LOG")
        ]
        return [f"{entry['username']}: {entry['object']}" for entry in told if entry["object"] not in DISPENSABLE]


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    system = System(tmp_path)
    try:
        system.sandbox()
        yield system
    finally:
        system.close()


@pytest.fixture
def users(system: System) -> Users:
    return Users(system)


def follow_up(app: Celery, name: str, item: str) -> Any:
    return app.signature(f"application.{name}", kwargs={"item": item}, queue="application")


def text(app: Celery, *directives: str) -> Any:
    return app.signature("wxcheck.check_text", args=(words(*directives),), queue="wxcheck.text")


def media(app: Celery, *directives: str) -> Any:
    return app.signature("wxcheck.check_media", args=(picture(*directives),), queue="wxcheck.media")


def test_each_process_works_with_the_rights_that_are_documented_and_asks_for_no_other(
    system: System, users: Users
) -> None:
    system.endpoint(WXCHECK_REDIS_URL=users.url("endpoint"))
    system.worker(WXCHECK_REDIS_URL=users.url("worker"))
    board = system.run("board", STARTS["board"], WXCHECK_REDIS_URL=users.url("board"))
    board.wait_for("board:")
    application = {"WXCHECK_REDIS_URL": users.url("application")}
    # it notes its runs in a list of its own
    consumer = system.run(
        "application",
        [
            "celery",
            "-A",
            "tests.support.application",
            "worker",
            "-Q",
            "application",
            "-P",
            "threads",
            "-c",
            "2",
            "-n",
            "a@%h",
        ],
        **application,
    )
    app = plain_client(application["WXCHECK_REDIS_URL"])
    try:
        follows = chain(media(app), follow_up(app, "publish", "a")).apply_async()
        uploaded = app.signature("application.upload", args=(picture(),), queue="application")
        upload = chain(uploaded, app.signature("wxcheck.check_media", queue="wxcheck.media"))
        album = chord([media(app), upload, text(app)], follow_up(app, "album", "c")).apply_async()
        fails = text(app, "-1*5").apply_async(link_error=follow_up(app, "hide", "d"))
        lost = send_media(app, picture("lost"))
        trace_id = waiting(lost)
        parked(system, trace_id)
        app.control.revoke(lost.id)
        assert isinstance(failure_of(lost), CheckCancelled)
        assert follows.get(timeout=60) == {"item": "a", "shown": True}
        assert isinstance(failure_of(fails), PlatformUnavailable)
        eventually(lambda: runs(system, "hide"), "the errback runs")
        eventually(lambda: album.ready() or users.refused(), "the album is done")
        assert users.refused() == [], users.refused()
        assert album.get(timeout=60) == ["pass"] * 3
        board_url = re.findall(r'"url": "([^"]+)"', board.output)[0]

        def shows_new_numbers() -> bool:
            return bool(requests.get(f"{board_url}numbers.json", timeout=20).json()["stale_seconds"] == 0)

        eventually(shows_new_numbers, "the board shows new numbers")
        eventually(lambda: requests.get(f"{system.endpoint_url}/readyz", timeout=20).ok, "the endpoint is ready")
        assert "wxcheck_" in requests.get(f"{system.endpoint_url}/metrics", timeout=20).text
        for running in (consumer, *system.started[-3:]):
            assert running.stop() == 0, running.output
    finally:
        app.close()
    assert users.refused() == []


@pytest.mark.parametrize(
    ("process", "without"),
    [
        ("worker", "-info resetkeys"),
        ("worker", "-multi"),
        ("worker", "resetchannels -llen"),
        ("endpoint", "-info resetkeys"),
        ("board", "nocommands resetkeys"),
    ],
)
def test_what_lacks_at_the_start_is_told_with_the_line_that_mends_it(
    system: System, users: Users, process: str, without: str
) -> None:
    url = users.url(process)
    users.may(process, without)
    running = system.run(process, STARTS[process], WXCHECK_REDIS_URL=url)
    assert running.process.wait(60) == 1
    assert running.output.count("wxcheck cannot start") == 1
    assert "Traceback" not in running.output
    assert "hushhush" not in running.output
    line = re.search(rf"Say there: ACL SETUSER {process} (.*) \(and ACL SAVE", running.output)
    assert line is not None, running.output
    users.may(process, line[1])
    again = system.run(process, STARTS[process], WXCHECK_REDIS_URL=url)
    again.wait_for(READY[process])
    assert again.stop() == 0


def test_doctor_tells_the_line_too(system: System, users: Users) -> None:
    url = users.url("worker")
    users.may("worker", "-hset resetchannels")
    ran = wxcheck_command(system, "doctor", "--json", REDIS_URL=url)
    found = next(finding for finding in json.loads(ran.stdout) if finding["subject"] == "the store")
    assert found["level"] == "bad"
    assert "does not let its user 'worker' do what is needed" in found["said"]
    assert re.match(r"Say there: ACL SETUSER worker &/0\.celery\.pidbox .*\+hset \(", found["remedy"])


TAKEN = [
    "-evalsha",
    "-hset",
    "-info",
    "-lpush",
    "-publish",
    "-set -setex",
    "-blpop -blmove",
    "resetkeys ~wxcheck*",
    "resetkeys",
]


def test_a_right_that_is_taken_away_for_a_while_fails_no_check(system: System, users: Users) -> None:
    system.endpoint()
    worker = system.worker("worker", WXCHECK_REDIS_URL=users.url("worker"))
    system.application()
    app = system.app
    sent = []

    def has_found_out(seen: int) -> bool:
        return worker.output.count("NoPermission") > seen

    for rules in TAKEN:
        seen = worker.output.count("NoPermission")
        users.may("worker", rules)
        sent += [
            chain(check(app), follow_up(app, "publish", f"{rules} {number}")).apply_async()
            for number, check in enumerate((text, media))
        ]
        eventually(partial(has_found_out, seen), f"{rules}: the worker finds out")
        time.sleep(1)  # it goes on to find that out
        users.url("worker")
        time.sleep(2)  # ... and that it may again, else it would not tell of the next right
    for result in sent:
        assert result.get(timeout=120)["shown"]
    assert len(runs(system, "publish")) == len(sent)


def test_a_right_that_lacks_once_the_call_is_answered_fails_no_check(system: System, users: Users) -> None:
    """What the platform says of a quota is counted."""
    worker = system.worker("worker", WXCHECK_REDIS_URL=users.url("worker"))
    assert text(system.app).apply_async().get(timeout=60)["suggest"] == "pass"
    users.may("worker", "-hincrby")
    refused = text(system.app, "45009*1", "risky").apply_async()
    eventually(lambda: f"{refused.id}" in worker.output and "NoPermission" in worker.output, "the worker finds out")
    users.url("worker")
    assert refused.get(timeout=120)["suggest"] == "risky"


def test_the_endpoint_takes_no_push_that_it_may_not_queue(system: System, users: Users) -> None:
    endpoint = system.endpoint(WXCHECK_REDIS_URL=users.url("endpoint"))
    system.worker()
    users.may("endpoint", "-lpush")
    result = send_media(system.app, picture("delay=0"))
    trace_id = waiting(result)
    eventually(lambda: "NoPermission" in endpoint.output, "the endpoint may not queue it")
    users.url("endpoint")
    parked(system, trace_id)


def test_the_documented_rights_are_what_the_processes_ask_for() -> None:
    for process in ("worker", "endpoint", "board"):
        ((_, access),) = needs(Settings(_env_file=None), process).values()
        assert set(DOCUMENTED[process].split()) == {
            "resetkeys",
            "resetchannels",
            "-@all",
            "~application*",
            *access.rules(),
        }


HIDES = {
    "no INFO": (["--rename-command", "INFO", ""], "has no INFO"),
    "another INFO": (
        ["--rename-command", "INFO", "HIDDEN", "--rename-command", "ECHO", "INFO"],
        "does not tell its run_id",
    ),
}


@pytest.mark.parametrize(
    ("process", "how"), [*(("worker", how) for how in HIDES), ("endpoint", "no INFO"), ("board", "another INFO")]
)
def test_a_redis_that_hides_its_run_id_is_refused(process: str, how: str, tmp_path: Path) -> None:
    options, said = HIDES[how]
    server = embedded_redis(free_port(), tmp_path)
    environment = {
        "WXCHECK_REDIS_URL": server.url,
        "WXCHECK_APPID": APPID,
        "WXCHECK_SECRET": SECRET,
        "WXCHECK_PUSH_TOKEN": PUSH_TOKEN,
    }
    with Running("redis", [*server.command, *options], {}, tmp_path):
        eventually(lambda: answers(server.url), "Redis answers")
        with Running(process, STARTS[process], environment, tmp_path) as running:
            assert running.process.wait(60) == 1
    assert said in running.output
    assert "Traceback" not in running.output


def test_what_the_scripts_run_is_asked_for() -> None:
    scripts = "".join(
        file.read_text(encoding="utf-8") for room in ("store", "worker", "ops") for file in (ROOT / room).rglob("*.lua")
    )
    run = {name.lower() for name in re.findall(r"redis\.p?call\('([A-Z]+)'", scripts)}
    assert len(run) > 20
    assert run <= {rule.removeprefix("+") for rule in DOCUMENTED["worker"].split()}
