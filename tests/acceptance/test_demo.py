"""The demo does what it says, ends in time, and leaves nothing behind, however it ends.

Tests: ops.local.demo, ops.local.demo_app, ops.local.stack, ops.cli.local
"""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest
import redis

from ops.local.processes import Processes
from ops.local.redis_server import embedded_redis
from tests.support.local_process import LocalProcess
from tests.support.ports import free_port

DEMO = ("-m", "ops.local.demo")

ROWS = [
    ("an innocent text, version 1", "pass", "publish_post: shown"),
    ("an innocent text, version 2", "pass", "publish_post: shown"),
    ("WeChat's own risky paragraph, version 1", "risky", "publish_post: not shown"),
    ("the same in English, version 1", "risky", "publish_post: not shown"),
    ("a risky text, version 2", "risky", "publish_post: not shown"),
    ("a picture", "pass", "publish_photo: shown"),
    ("a picture, version 1", "pass", "publish_photo: shown"),
    ("a risky picture", "risky", "publish_photo: not shown"),
    ("a picture to be looked at", "review", "publish_photo: not shown"),
    ("an audio clip", "pass", "publish_photo: shown"),
    ("a picture that cannot be fetched", "MediaUnavailable", "hide_photo: not shown"),
    ("an album of three pictures: a chord", "pass, risky, pass", "publish_album: shown, not shown, shown"),
    ("a picture whose verdict is pushed three times", "pass", "publish_photo: shown"),
    ("a picture whose verdict overtakes the answer", "risky", "publish_photo: not shown"),
    ("a picture that is no URL: refused here, no call", "InvalidCheck", "hide_photo: not shown"),
]

#: one that waits for half a minute for a verdict which never comes: what is done to it meanwhile may be late
LONG = """
from dataclasses import replace
from ops.local import demo
from ops.local.cases import cases
from wxcheck import check_media
lost = check_media("https://img.example.com/a.jpg?sandbox=lost")
endless = replace(next(case for case in cases() if case.title == "a picture"), checks=[lost])
demo.cases = lambda: [endless]
raise SystemExit(demo.run_demo())
"""

#: a case that is said to end otherwise than it does
WRONG = """
from dataclasses import replace
from ops.local import demo
from ops.local.cases import cases
wrong = replace(cases()[0], expected=[{"suggest": "risky"}])
demo.cases = lambda: [wrong]
raise SystemExit(demo.run_demo())
"""


def table_of(printed: str) -> list[list[str]]:
    lines = [line for line in printed.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def runs_a_redis(demo: LocalProcess) -> bool:
    return any(re.search("(redis|valkey)-server", command) for command in demo.processes().values())


def test_the_demo_shows_what_became_of_each_check_and_leaves_nothing_behind(tmp_path: Path) -> None:
    began = time.monotonic()
    with LocalProcess(tmp_path, *DEMO) as demo:
        assert demo.end() == 0, demo.printed + demo.errors()
        assert time.monotonic() - began < 60
        rows = table_of(demo.printed)
        assert [tuple(row[:3]) for row in rows] == ROWS
        for row in rows:
            assert re.fullmatch(r"\d+\.\d\d", row[3])
            assert row[4] == "ok"
        *_, last = demo.printed.splitlines()
        assert last.startswith("Next: put WXCHECK_APPID, WXCHECK_SECRET, ")
        assert demo.errors() == ""
        assert demo.leaves_nothing()


def test_the_demo_takes_nothing_of_a_live_systems_settings(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "WXCHECK_APPID=wxlive\nWXCHECK_SECRET=livesecret\nWXCHECK_REDIS_URL=redis://127.0.0.1:1/0\n"
        "WXCHECK_BROKER_URL=amqp://127.0.0.1:1//\nWXCHECK_API_BASE=http://127.0.0.1:1\nWXCHECK_CALLBACK_PORT=1\n"
    )
    others = {
        "WXCHECK_TOKEN_SOURCE": "none",
        "WXCHECK_MEDIA_PER_MINUTE": "1",
        "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
        "CELERY_RESULT_BACKEND": "redis://127.0.0.1:1/0",
        "HTTP_PROXY": "http://127.0.0.1:1",
    }
    with LocalProcess(tmp_path, *DEMO, **others) as demo:
        assert demo.end() == 0, demo.printed + demo.errors()


@pytest.mark.parametrize("word", ["starting", "sent"])
def test_a_demo_that_is_killed_leaves_nothing_behind(tmp_path: Path, word: str) -> None:
    with LocalProcess(tmp_path, "-c", LONG) as demo:
        demo.read_until(word)
        assert runs_a_redis(demo)
        assert any(demo.temporary.iterdir())
        assert demo.end(signal.SIGKILL) == -signal.SIGKILL
        assert demo.leaves_nothing(within=30), demo.processes()


@pytest.mark.parametrize(
    ("word", "number", "code"),
    [
        ("starting", signal.SIGTERM, 143),
        ("sent", signal.SIGINT, 130),
        pytest.param("starting", signal.SIGINT, 130, marks=pytest.mark.long),
        pytest.param("sent", signal.SIGTERM, 143, marks=pytest.mark.long),
    ],
)
def test_a_demo_that_is_interrupted_says_so_and_leaves_nothing_behind(
    tmp_path: Path, word: str, number: signal.Signals, code: int
) -> None:
    with LocalProcess(tmp_path, "-c", LONG) as demo:
        demo.read_until(word)
        assert runs_a_redis(demo)
        assert demo.end(number) == code
        *_, last = demo.printed.splitlines()
        assert last == f"interrupted by {number.name}: every process that was started has ended"
        assert "Traceback" not in demo.errors()
        assert demo.leaves_nothing()


def test_a_process_that_dies_under_the_demo_is_told(tmp_path: Path) -> None:
    with LocalProcess(tmp_path, "-c", LONG) as demo:
        demo.read_until("sandbox is ready")
        (worker,) = (pid for pid, command in demo.processes().items() if "celery -A worker worker" in command)
        os.kill(worker, signal.SIGKILL)
        assert demo.end() == 1
        assert "the demo failed: worker was killed by signal 9" in demo.printed
        assert "Traceback" not in demo.errors()
        assert demo.leaves_nothing()


def test_what_does_not_come_out_as_it_should_is_told_and_the_logs_are_kept(tmp_path: Path) -> None:
    with LocalProcess(tmp_path, "-c", WRONG) as demo:
        assert demo.end() == 1
        assert table_of(demo.printed)[0][-1] == "wrong"
        assert '- an innocent text, version 1: expected {"suggest": "risky"}, came {"suggest": "pass"}' in demo.printed
        kept = re.search(r"^The logs are in (.*)$", demo.printed, re.MULTILINE)
        assert kept is not None
        assert "wxcheck.check_text" in (Path(kept[1]) / "worker.log").read_text()
        assert list(demo.temporary.iterdir()) == [Path(kept[1])]
        assert demo.processes() == {}


def test_a_redis_that_is_set_is_used_and_keeps_nothing_of_the_demos_own(tmp_path: Path) -> None:
    with Processes(os.environ) as processes:
        server = embedded_redis(free_port(), processes.directory)
        processes.start("redis", server.command, environment={}, cwd=processes.directory)
        processes.wait_until("redis", server.answers, 20)
        with LocalProcess(tmp_path, *DEMO, WXCHECK_REDIS_URL=server.url) as demo:
            demo.read_until("sent")
            assert not runs_a_redis(demo)
            assert demo.end() == 0, demo.printed + demo.errors()
        with redis.Redis.from_url(server.url, decode_responses=True) as client:
            assert client.exists("wxcheck:counters")
            assert client.keys("demo:*") == []


def test_a_redis_that_does_not_answer_is_told_without_its_password(tmp_path: Path) -> None:
    with LocalProcess(tmp_path, *DEMO, WXCHECK_REDIS_URL="redis://:hush@127.0.0.1:1/3") as demo:
        assert demo.end() == 1
        assert "the demo failed: the Redis at redis://127.0.0.1:1/3 does not answer PING" in demo.printed
        assert "hush" not in demo.printed + demo.errors()
        assert demo.leaves_nothing()
