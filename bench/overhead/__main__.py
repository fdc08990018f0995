"""``python -m bench.overhead``: measures what is asked for and prints one table.

python -m bench.overhead                                       everything, up to half an hour
python -m bench.overhead --quick --only text,endpoint
python -m bench.overhead --json build/bench.json --plots docs/pictures/performance
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.machine import describe_machine, in_a_line
from bench.overhead.figures import FIGURES, Figure
from bench.overhead.outcome import Row
from bench.overhead.scale import FULL, QUICK, Scale
from bench.overhead.side import Options
from bench.overhead.table import as_text
from bench.redis_load import own_version
from bench.servers import RunFailed
from ops.local.errors import LocalError
from ops.local.interrupt import Interrupted, interruptible

#: beside what every bench tells
PACKAGES = ("starlette", "uvicorn")


class Bench:
    """Runs figures one after the other, and keeps what they bring."""

    def __init__(self, scale: Scale, options: Options, wanted: list[str]) -> None:
        self._scale = scale
        self._options = options
        self._wanted = wanted
        self.rows: list[Row] = []
        self.series: dict[str, Any] = {}
        self.failures: list[str] = []

    def run(self, keep: Callable[[], None]) -> None:
        """Runs each; ``keep`` is called after each one. What fails is noted, and the others are run."""
        brought: set[str] = set()
        for name, figure in FIGURES.items():
            only_here = {of for of in figure.brings if of not in FIGURES}
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


def _parse() -> argparse.Namespace:
    known = _known()
    parser = argparse.ArgumentParser(prog="python -m bench.overhead", description="What wxcheck adds to bare Celery.")
    parser.add_argument("--quick", action="store_true", help="fewer checks and rounds, a tenth of the large numbers")
    parser.add_argument("--only", default=",".join(known), help=f"figures, with commas between: {', '.join(known)}")
    parser.add_argument("--rounds", type=int, help="turns of each side, in place of the scale's")
    parser.add_argument("--checks", type=int, help="checks of one turn, and before the first, in place of the scale's")
    parser.add_argument("--pool", help="of the workers of both sides: threads, processes, …")
    parser.add_argument("--concurrency", type=int, help="of the workers of both sides")
    parser.add_argument("--json", type=Path, help="write the results to this file, too")
    parser.add_argument("--plots", type=Path, help="draw plots into this directory")
    parser.add_argument("--draw", type=Path, metavar="JSON", help="measure nothing: draw the plots of these results")
    return parser.parse_args()


def _known() -> list[str]:
    return list(dict.fromkeys(brought for name, figure in FIGURES.items() for brought in (name, *figure.brings)))


def _wanted(given: str) -> list[str]:
    known = list(dict.fromkeys(_known()))
    names = given.split(",")
    for name in names:
        if name not in known:
            raise SystemExit(f"bench: figure {name!r} is none of {', '.join(known)}")
    return names


def _scale(given: argparse.Namespace) -> Scale:
    scale = QUICK if given.quick else FULL
    if given.rounds:
        scale = replace(scale, rounds=given.rounds)
    if given.checks:
        counts = dict.fromkeys(("texts", "chains", "scaled_texts", "warm_up"), given.checks)
        scale = replace(scale, **counts)
    return scale


def main() -> int:
    given = _parse()
    if given.draw:
        _draw(json.loads(given.draw.read_text()), given.plots or Path())
        return 0
    scale = _scale(given)
    bench = Bench(scale, Options(given.pool, given.concurrency), _wanted(given.only))
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
    for failure in bench.failures:
        tell(f"FAILED {failure}")
    return 1 if bench.failures else 0


def _draw(results: dict[str, Any], directory: Path) -> None:
    from bench.overhead.plots import draw  # matplotlib takes a second, and is needed for nothing else

    for path in draw(results, directory):
        tell(f"drew {path}")


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
