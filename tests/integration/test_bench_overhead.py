"""The bench of overhead runs both sides and prints what it has found.

Tests: bench.overhead
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.overhead.side import ALLOCATOR
from bench.servers import inherited_environment
from ops.local.processes import ROOT

#: they run a bench of seconds, and wait for it
pytestmark = pytest.mark.long


def test_a_tiny_run_has_both_sides_in_its_table_and_its_file(tmp_path: Path) -> None:
    """Given few checks, when text is measured, then wxcheck and its peer each have a rate, and a ratio."""
    file = tmp_path / "made" / "bench.json"
    options = ["--quick", "--only", "text", "--rounds", "1", "--checks", "40", "--concurrency", "4"]
    said = subprocess.run(
        [sys.executable, "-m", "bench.overhead", *options, "--json", str(file), "--plots", str(tmp_path / "plots")],
        cwd=ROOT,
        env=inherited_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    (line,) = [line for line in said.stdout.splitlines() if line.startswith("text ")]
    assert "[bare task]" in line
    assert line.split()[-1] in ("reached", "missed")
    written = json.loads(file.read_text())
    text, cpu = written["rows"]
    assert (text["figure"], cpu["figure"]) == ("text", "cpu")
    for row in (text, cpu):
        assert min(row["wxcheck"]["median"], row["peer"]["median"], row["ratio"]["median"]) > 0
    assert written["failures"] == []
    assert [path.name for path in (tmp_path / "plots").iterdir()] == ["throughput.svg"]


def test_a_figure_that_does_not_exist_is_told_with_those_that_do() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "bench.overhead", "--only", "texts"],
        cwd=ROOT,
        env=inherited_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert said.returncode == 1
    assert "'texts' is none of text, cpu, media" in said.stderr


#: a process of its own: in this one the worker's code may have been imported, which the bench never does
CHAINS = """
from pathlib import Path
from bench.overhead.side import Options, Side
with Side("wxcheck", Options(concurrency=4), endpoint=True, application=True) as side:
    times, spent = side.run_chains(side.media, 5, push=True)
    print(len(times), spent > 0)
    print(Path(f"/proc/{side.pid(side.workers[0])}/environ").read_text().replace(chr(0), chr(10)))
"""


def test_every_chain_of_the_bench_has_its_push_and_its_follow_up() -> None:
    """Given one worker, when chains are run, then each is pushed, finished and followed; the worker has the allocator
    that the figures are told to have been taken with."""
    said = subprocess.run(
        [sys.executable, "-c", CHAINS],
        cwd=ROOT,
        env=inherited_environment(),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    counted, *environment = said.stdout.splitlines()
    assert counted == "5 True"
    assert {f"{name}={value}" for name, value in ALLOCATOR.items()} <= set(environment)
