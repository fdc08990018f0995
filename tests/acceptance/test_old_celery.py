"""Applications on older versions of Celery send checks, wait for them, and their workers run what follows.

Tests: wxcheck

Each version runs in an environment of its own, with the kombu and redis-py of its time.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.matrix.canvases import CANVASES
from tests.matrix.running import Matrix, matrix
from tests.support.old_celery import PINS, VERSIONS, python_of
from tests.support.processes import PATIENCE, ROOT

EVERY = [pytest.param(version, marks=pytest.mark.long) for version in VERSIONS]


def pinned(version: str) -> list[str]:
    """The versions of Celery, kombu and redis-py in an environment."""
    pins = (PINS / f"celery-{version}.txt").read_text(encoding="utf-8")
    return [re.findall(rf"^{name}==(\S+)$", pins, re.MULTILINE)[0] for name in ("celery", "kombu", "redis")]


def waits(running: Matrix, version: str) -> None:
    """Waits for checks with the ``get()`` of that version."""
    waiting = running.run("wait", ["-m", "tests.matrix.wait"])
    assert waiting.process.wait(4 * PATIENCE) == 0, waiting.output
    (told,) = [line for line in waiting.output.splitlines() if line.startswith("{")]
    assert json.loads(told) == {
        "versions": pinned(version),
        "by name": "risky",
        "text": "risky",
        "picture": "risky",
        "group": ["pass", "risky"],
        "chain": "published pass",
        "chord": "album risky published pass pass",
        "urgent": "pass",
        "invalid": "InvalidCheck",
        "unavailable": ["MediaUnavailable", -1008],
        "protocol 1": "published risky",
    }


def every_canvas_ends(running: Matrix) -> None:
    outcomes = running.outcomes()
    faults = running.faults(outcomes)
    assert not faults, "\n".join([*(f"{canvas}: {wrong}" for canvas, wrong in faults.items()), running.log()])
    assert set(outcomes) == {canvas.name for canvas in CANVASES}


@pytest.mark.timeout(480)  # the first time its environment is made
@pytest.mark.parametrize("version", EVERY)
def test_every_canvas_of_an_application_on_an_older_celery_ends_as_it_should(version: str, tmp_path: Path) -> None:
    python = python_of(version)
    with matrix(tmp_path, "one Redis", str(python)) as running:
        waits(running, version)
        every_canvas_ends(running)


@pytest.mark.long
@pytest.mark.timeout(480)
@pytest.mark.parametrize("topology", ["all apart", "RabbitMQ"])
def test_the_oldest_celery_works_where_store_broker_and_results_are_apart(topology: str, tmp_path: Path) -> None:
    python = python_of(VERSIONS[0])
    with matrix(tmp_path, topology, str(python)) as running:
        waits(running, VERSIONS[0])
        every_canvas_ends(running)


def test_what_is_tried_is_what_the_client_says_that_it_supports() -> None:
    pyproject = (ROOT / "client" / "pyproject.toml").read_text(encoding="utf-8")
    own = re.findall(r"^celery==(\d+\.\d+)", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
    assert f'"celery>={VERSIONS[0]}' in pyproject
    newest, beyond = re.findall(r"celery>=[\d.]+,<(\d+)\.(\d+)", pyproject)[0]
    assert own == [f"{newest}.{int(beyond) - 1}"]
    tried = [f"5.{number}" for number in range(int(VERSIONS[0].split(".")[1]), int(beyond))]
    assert [*VERSIONS, *own] == tried
    guarantees = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    for version in VERSIONS:
        assert f"\n| {' | '.join(pinned(version))} | ✓ |" in guarantees, version
    for document in (
        "README.md",
        "README.zh-CN.md",
        "client/README.md",
        "docs/application.md",
        "docs/application.zh-CN.md",
    ):
        assert f"{tried[0]}–{tried[-1]}" in (ROOT / document).read_text(encoding="utf-8"), document
