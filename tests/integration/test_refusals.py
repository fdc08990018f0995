"""A server that refuses, or a port that is taken, is told in a line with what to do, by whoever meets it.

Tests: config.refusals, callbacks.listening, ops.cli.app
Tests: worker.celery_parts.entrance, worker.celery_parts.flower_port
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis

from ops.local.redis_server import embedded_redis
from tests.support.commands import wxcheck_command
from tests.support.ports import free_port
from tests.support.processes import ROOT, Running, eventually
from tests.support.system import APPID, PUSH_TOKEN, SECRET, System

PASSWORD = "hush5ecre7hush5ecre7"


@contextmanager
def server(directory: Path, *options: str) -> Iterator[int]:
    """A Redis with a password and a user who may do little; its port."""
    place = directory / f"redis{'-'.join(options)}"
    place.mkdir()
    embedded = embedded_redis(free_port(), place)
    with Running("redis", [*embedded.command, *options], {}, place), redis.Redis.from_url(embedded.url) as client:

        def answers() -> bool:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

        eventually(answers, "Redis answers")
        client.execute_command("ACL", "SETUSER", "limited", "on", f">{PASSWORD}", "~*", "&*", "+@all", *FORBIDDEN)
        client.execute_command("ACL", "SETUSER", "default", "on", "resetpass", f">{PASSWORD}")
        yield int(embedded.url.rpartition(":")[2].partition("/")[0])


FORBIDDEN = ("-zrange", "-zrevrange", "-zcard", "-hgetall", "-info", "-eval", "-evalsha", "-llen", "-lpush")


#: those that ask a server
COMMANDS = [
    ["status"],
    ["status", "--json"],
    ["pending"],
    ["dead"],
    ["dead", "drop", "--all", "--yes"],
    ["replay", "--all", "--yes"],
    ["show", "3f0c"],
    ["cancel", "--all", "--yes"],
    ["check", "a fine day", "--timeout", "0.2"],
    ["submit", "texts.csv", "--yes", "--patience", "1s"],
    ["doctor"],
]


def run_all(directory: Path, commands: list[list[str]], environment: dict[str, str]) -> dict[str, tuple[int, str, str]]:
    """Exit code, output and escaped error of each command."""
    (directory / "texts.csv").write_text("id,content\n1,fine\n")
    ran = subprocess.run(
        [sys.executable, "-m", "tests.support.every_command"],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert PASSWORD not in ran.stdout + ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    return {" ".join(command): tuple(said) for command, said in zip(commands, told, strict=True)}


@pytest.mark.parametrize(
    ("user", "database", "options", "words"),
    [
        (f":{PASSWORD}@", 0, ["--cluster-enabled", "yes"], "node of a Redis Cluster"),
        (f":{PASSWORD}@", 99, [], "the number of a database that this Redis has"),
        (f"limited:{PASSWORD}@", 0, [], "ACL SETUSER"),
        (":hush5ecre7another@", 0, [], "user and password"),
    ],
    ids=["cluster", "database", "permission", "password"],
)
def test_every_command_tells_in_a_line_why_redis_refuses(
    tmp_path: Path, user: str, database: int, options: list[str], words: str
) -> None:
    with server(tmp_path, *options) as port:
        environment = {
            "WXCHECK_REDIS_URL": f"redis://{user}127.0.0.1:{port}/{database}",
            "WXCHECK_APPID": APPID,
            "WXCHECK_SECRET": SECRET,
            "WXCHECK_PUSH_TOKEN": PUSH_TOKEN,
            "WXCHECK_API_BASE": "http://127.0.0.1:1",
        }
        told = run_all(tmp_path, COMMANDS, environment)
    assert {name: escaped for name, (_, _, escaped) in told.items() if escaped} == {}
    for name, (code, output, _) in told.items():
        assert code == (1 if name == "doctor" else 2), (name, output)
        assert "Traceback" not in output
        if name == "doctor":
            assert words in output
        elif not name.startswith("submit") and not (name.startswith("check") and words == "ACL SETUSER"):
            # submit waits for a server that is away, and may name the class only; a user without LPUSH sends by script
            assert words in output, name
            assert output.count("\n") == 1, (name, output)


def test_an_appid_and_a_failure_that_there_are_not_are_told_with_those_that_there_are(
    system: System, tmp_path: Path
) -> None:
    asked = (["pending"], ["cancel", "--yes"], ["dead"], ["dead", "drop"], ["replay"], ["check", "x"])
    commands = [[*arguments, "--appid", "wxnope"] for arguments in (*asked, ["submit", "texts.csv"])]
    commands += [[*arguments, "--failure", "Nope"] for arguments in (["dead"], ["dead", "drop"], ["replay"])]
    for name, (code, output, escaped) in run_all(tmp_path, commands, system.environment).items():
        assert (code, escaped) == (2, ""), (name, output)
        assert ("'PushTimeout'" if "Nope" in name else APPID) in output.splitlines()[-1], (name, output)


@pytest.mark.parametrize(
    "command",
    [
        ["callbacks"],
        ["ops.cli", "board"],
        ["sandbox", "--port", "PORT"],
        ["celery", "-A", "worker", "flower", "--port=PORT", "--address=127.0.0.1"],
        ["ops.cli", "push", "listen", "--port", "PORT"],
    ],
    ids=["endpoint", "board", "sandbox", "flower", "listen"],
)
def test_a_port_that_is_taken_is_told_in_one_line(system: System, command: list[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        places = {"WXCHECK_CALLBACK_PORT": port, "WXCHECK_BOARD_PORT": port}
        arguments = [argument.replace("PORT", port) for argument in command]
        with Running("second", arguments, {**system.environment, **places}, tmp_path) as second:
            assert second.process.wait(60) in (1, 2)
            (line,) = second.output.splitlines()
    assert "cannot listen on" in line
    assert port in line
    assert "in use" in line


def test_a_rabbitmq_that_refuses_the_password_is_told_by_all(tmp_path: Path) -> None:
    with ExitStack() as closing:
        system = System(tmp_path, "RabbitMQ")
        closing.callback(system.close)
        assert system.servers.broker
        system.environment["WXCHECK_BROKER_URL"] = system.servers.broker.replace("guest:guest", f"guest:{PASSWORD}")
        worker = system.run("refused", ["celery", "-A", "worker", "worker", "-Q", "wxcheck.text"])
        assert worker.process.wait(60) == 1
        last = worker.output.splitlines()[-1]
        assert last.startswith("wxcheck cannot start: the broker refuses it: AccessRefused: ")
        assert "set user and password in WXCHECK_BROKER_URL" in last
        assert "Traceback" not in worker.output
        endpoint = system.endpoint()
        endpoint.wait_for("set user and password in WXCHECK_BROKER_URL")
        outputs = [worker.output, endpoint.output]
        for arguments, code in (
            (["check", "fine"], 2),
            (["status"], 1),
            (["doctor"], 1),
        ):
            ran = wxcheck_command(system, *arguments)
            said = ran.stdout + ran.stderr
            outputs.append(said)
            assert ran.returncode == code, said
            assert "et user and password in WXCHECK_BROKER_URL" in said
            assert "Traceback" not in said
        assert not any(PASSWORD in output for output in outputs)
