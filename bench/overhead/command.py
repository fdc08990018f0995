"""The command line of a bench: runs the figures that are asked for, prints one table, writes JSON and plots."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from bench.machine import describe_machine, in_a_line
from bench.overhead.outcome import Measured, Row
from bench.overhead.side import Options
from bench.overhead.table import as_markdown, as_text
from bench.redis_load import own_version
from bench.servers import RunFailed
from ops.local.errors import LocalError
from ops.local.interrupt import Interrupted, interruptible

#: beside what every bench tells
PACKAGES = ("starlette", "uvicorn")


class Figure(NamedTuple):
    run: Callable[[Any, Options], Measured]
    #: further figures that its run brings rows of
    brings: tuple[str, ...] = ()


class Command(NamedTuple):
    """A bench: how it is called, what it tells, and the scales of its figures."""

    name: str
    about: str
    figures: Mapping[str, Figure]
    quick: Any
    full: Any
    #: fields of a scale that ``--checks`` sets
    checks: tuple[str, ...] = ()

    def known(self) -> list[str]:
        """The names of all figures."""
        return list(dict.fromkeys(of for name, figure in self.figures.items() for of in (name, *figure.brings)))


class Bench:
    """Runs figures one after the other, and keeps what they bring."""

    def __init__(self, figures: Mapping[str, Figure], scale: Any, options: Options, wanted: list[str]) -> None:
        self._figures = figures
        self._scale = scale
        self._options = options
        self._wanted = wanted
        self.rows: list[Row] = []
        self.series: dict[str, Any] = {}
        self.failures: list[str] = []

    def run(self, keep: Callable[[], None]) -> None:
        """Runs each; ``keep`` is called after each one. What fails is noted, and the others are run."""
        brought: set[str] = set()
        for name, figure in self._figures.items():
            only_here = {of for of in figure.brings if of not in self._figures}
            if name in brought or not {name, *only_here} & set(self._wanted):
                continue
            brought.update(figure.brings)
            began = time.monotonic()
            tell(f"{name} …")
            try:
                self._one(name, figure)
            except (RunFailed, LocalError, ValueError) as failure:
                self.failures.append(f"{name}: {failure}")
                tell(f"{name} FAILED: {failure}")
            else:
                tell(f"{name}: {time.monotonic() - began:.0f} s")
            keep()

    def _one(self, name: str, figure: Figure) -> None:
        measured = figure.run(self._scale, self._options)
        self.rows += measured.rows
        if measured.series:
            self.series[name] = measured.series


def _parse(command: Command) -> argparse.Namespace:
    known = command.known()
    parser = argparse.ArgumentParser(prog=f"python -m {command.name}", description=command.about)
    parser.add_argument("--quick", action="store_true", help="fewer checks and rounds, a tenth of the large numbers")
    parser.add_argument("--only", default=",".join(known), help=f"figures, with commas between: {', '.join(known)}")
    parser.add_argument("--rounds", type=int, help="turns of each side, in place of the scale's")
    if command.checks:
        parser.add_argument("--checks", type=int, help="of one turn, and before the first, not the scale's")
    parser.add_argument("--pool", help="of the workers of both sides: threads, solo, …")
    parser.add_argument("--concurrency", type=int, help="of the workers of both sides")
    parser.add_argument("--json", type=Path, help="write the results to this file, too")
    parser.add_argument("--markdown", type=Path, help="write the table to this file, as the documentation has it")
    parser.add_argument("--plots", type=Path, help="draw plots into this directory")
    parser.add_argument("--draw", type=Path, metavar="JSON", help="measure nothing: draw the plots of these results")
    return parser.parse_args()


def _wanted(given: str, known: list[str]) -> list[str]:
    names = given.split(",")
    for name in names:
        if name not in known:
            raise SystemExit(f"bench: figure {name!r} is none of {', '.join(known)}")
    return names


def _scale(command: Command, given: argparse.Namespace) -> Any:
    scale = command.quick if given.quick else command.full
    if given.rounds:
        scale = replace(scale, rounds=given.rounds)
    if command.checks and given.checks:
        scale = replace(scale, **dict.fromkeys(command.checks, given.checks))
    return scale


def main(command: Command) -> int:
    """Runs a bench as the command line asks for; its exit code."""
    given = _parse(command)
    if given.draw:
        _draw(json.loads(given.draw.read_text()), given.plots or Path())
        return 0
    wanted = _wanted(given.only, command.known())
    bench = Bench(command.figures, _scale(command, given), Options(given.pool, given.concurrency), wanted)
    machine = describe_machine(own_version(), PACKAGES)
    if given.json:  # a directory that can't be made is told before the runs
        given.json.parent.mkdir(parents=True, exist_ok=True)

    def results() -> dict[str, Any]:
        return {
            "machine": machine,
            "quick": given.quick,
            "pool": given.pool,
            "concurrency": given.concurrency,
            "rows": [row.as_json() for row in bench.rows],
            "series": bench.series,
            "failures": bench.failures,
        }

    def keep() -> None:
        if given.json:
            given.json.write_text(json.dumps(results(), indent=1, ensure_ascii=False) + "\n")

    try:
        with interruptible():
            bench.run(keep)
            if given.plots:
                _draw(results(), given.plots)
    except Interrupted as interrupted:
        tell(f"ended by {interrupted.signal.name}")
        return interrupted.exit_code
    if bench.rows:
        print(as_text(bench.rows, in_a_line(machine)))
        if given.markdown:
            given.markdown.write_text(as_markdown(bench.rows, in_a_line(machine)))
    for failure in bench.failures:
        tell(f"FAILED {failure}")
    return 1 if bench.failures else 0


def _draw(results: dict[str, Any], directory: Path) -> None:
    from bench.overhead.plots import draw  # matplotlib takes a second, and is needed for nothing else

    for path in draw(results, directory):
        tell(f"drew {path}")


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
