"""A worker stops at an option of ``celery worker`` that would break it or do nothing, and says what to do.

Tests: worker.celery_parts.options
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import PATIENCE, ROOT

CELERY = str(Path(sys.executable).parent / "celery")


def started(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """``celery -A worker worker`` with ``options``, which must end before it has connected to anything."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "WXCHECK_APPID": "wx0123456789abcdef",
        "WXCHECK_SECRET": "5ecre7005ecre7005ecre7005ecre700",
        "WXCHECK_REDIS_URL": "redis://127.0.0.1:1/0",
    }
    command = [CELERY, "-A", "worker", "worker", *options]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=directory, timeout=PATIENCE
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--autoscale=10,2"], ["--autoscale", "-c 96"]),
        (["-P", "prefork", "--time-limit=30"], ["-P prefork", "run several workers", "--time-limit", "API_TIMEOUT"]),
        (["-P", "processes"], ["-P prefork", "child process", "run several workers", "-P threads"]),
        (["-Q", "wxcheck.text,wxcheck.meida"], ["-Q wxcheck.meida", "the nearest is wxcheck.media", "wxcheck.push"]),
    ],
    ids=str,
)
def test_a_worker_with_an_option_that_it_cannot_do_stops_and_says_what_to_do_instead(
    tmp_path: Path, options: list[str], told: list[str]
) -> None:
    ran = started(tmp_path, *options)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    (line,) = ran.stderr.splitlines()
    assert line.startswith("celery worker: ")
    assert [word for word in told if word in line] == told, line


def test_every_option_that_is_wrong_is_told_in_the_one_line(tmp_path: Path) -> None:
    ran = started(tmp_path, "--autoscale=10,2", "-B", "-Q", "wxcheck.nope")
    (line,) = ran.stderr.splitlines()
    assert [flag for flag in ("--autoscale", "-B", "-Q wxcheck.nope") if flag in line] == [
        "--autoscale",
        "-B",
        "-Q wxcheck.nope",
    ]
