"""``wxcheck up`` runs everything until it is told to stop, and says where everything is."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path

import redis
import requests
from celery import Celery

from tests.support.local_process import LocalProcess
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, eventually

UP = ("-m", "ops.local.up")

LIVE = {
    "WXCHECK_APPID": "wxlive",
    "WXCHECK_SECRET": "livesecret0123",
    "WXCHECK_PUSH_TOKEN": "livetoken0123",
    "WXCHECK_API_BASE": "http://127.0.0.1:1",
}


def test_up_runs_the_system_with_the_sandbox_and_an_application_joins_it(tmp_path: Path) -> None:
    port = free_port()
    with LocalProcess(tmp_path, *UP, WXCHECK_CALLBACK_PORT=str(port)) as up:
        up.read_until("Ctrl-C ends it all")
        urls = dict(re.findall(r"^  (endpoint|flower|redis|sandbox) +(\S+)$", up.printed, re.MULTILINE))
        exported = dict(re.findall(r"^  export (\w+)=(\S+)$", up.printed, re.MULTILINE))

        first = "wxcheck up: against a stand-in for WeChat's platform, for no appId is set ("
        assert up.printed.startswith(first)
        assert urls["endpoint"] == f"http://127.0.0.1:{port}/wechat/push"
        readyz = f"http://127.0.0.1:{port}/readyz"
        eventually(lambda: requests.get(readyz, timeout=PATIENCE).ok, "the endpoint is ready")
        assert "Flower" in requests.get(f"{urls['flower']}/workers", timeout=PATIENCE).text
        assert "push_delay" in requests.get(urls["sandbox"], timeout=PATIENCE).json()
        assert exported["WXCHECK_REDIS_URL"] == urls["redis"]
        with redis.Redis.from_url(urls["redis"]) as client:
            assert client.ping()

        with Celery("application", broker=urls["redis"], backend=urls["redis"], set_as_current=False) as app:
            picture = {"media_url": "https://img.example.com/a.jpg?sandbox=risky", "media_type": "image"}
            result = app.send_task("wxcheck.check_media", kwargs=picture, queue="wxcheck.media")
            assert result.get(timeout=30)["suggest"] == "risky"

        assert up.end(signal.SIGINT) == 0
        assert up.printed.splitlines()[-1] == "SIGINT: every process that was started has ended"
        assert "Traceback" not in up.errors()
        assert up.leaves_nothing()


def test_up_with_credentials_runs_without_the_sandbox_and_prints_no_secret(tmp_path: Path) -> None:
    port = free_port()
    with LocalProcess(tmp_path, *UP, WXCHECK_CALLBACK_PORT=str(port), **LIVE) as up:
        up.read_until("Ctrl-C ends it all")
        assert up.printed.startswith("wxcheck up: against the platform at http://127.0.0.1:1, for wxlive (")
        assert not any("-m sandbox" in command for command in up.processes().values())
        assert f"  endpoint   http://127.0.0.1:{port}/wechat/push\n" in up.printed
        assert re.findall(r"export (\w+)=", up.printed) == ["WXCHECK_REDIS_URL"]
        assert up.end(signal.SIGTERM) == 0
        assert not re.search("live(secret|token)", up.printed + up.errors())
        assert up.leaves_nothing()


def test_up_says_which_process_died_with_its_last_lines_and_ends_the_others(tmp_path: Path) -> None:
    with LocalProcess(tmp_path, *UP, WXCHECK_CALLBACK_PORT=str(free_port())) as up:
        up.read_until("Ctrl-C ends it all")
        (worker,) = (pid for pid, command in up.processes().items() if "celery -A worker worker" in command)
        os.kill(worker, signal.SIGKILL)
        assert up.end() == 1
        told = up.printed.partition("wxcheck up: worker was killed by signal 9; its last lines:\n")[2]
        assert "ready." in told
        assert up.leaves_nothing()


def test_up_with_credentials_needs_the_port_that_the_pushes_come_to(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with LocalProcess(tmp_path, *UP, WXCHECK_CALLBACK_PORT=str(port), **LIVE) as up:
            assert up.end() == 1
            assert f"wxcheck up: port {port}, where the callback endpoint is to listen, is taken" in up.printed
            assert up.leaves_nothing()


def test_up_reads_the_file_of_the_folder_that_it_is_called_in(tmp_path: Path) -> None:
    port = free_port()
    lines = [f"{name}={value}\n" for name, value in {**LIVE, "WXCHECK_CALLBACK_PORT": str(port)}.items()]
    (tmp_path / ".env").write_text("".join([*lines, "WXCHECK_HEARTBEAT_FILE=beats\n"]))
    # what is here besides must not take the place of a module of the system
    (tmp_path / "worker.py").write_text("raise SystemExit('not this one')\n")
    with LocalProcess(tmp_path, "-P", *UP) as up:
        up.read_until("(")
        said = f"against the platform at http://127.0.0.1:1, for wxlive (the environment and {tmp_path / '.env'})"
        assert up.printed == f"wxcheck up: {said}\n"
        up.read_until("Ctrl-C ends it all")
        assert f"  endpoint   http://127.0.0.1:{port}/wechat/push\n" in up.printed
        eventually((tmp_path / "beats").exists, "the worker keeps its heartbeat where the file says")
        assert up.end(signal.SIGTERM) == 0
        assert not re.search("live(secret|token)", up.printed + up.errors())
