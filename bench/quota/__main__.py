"""``python -m bench.quota``: runs what is asked for and prints one table.

python -m bench.quota                                   everything, tenfold smaller and shorter
python -m bench.quota --scale full --only wxcheck --models calm,stalls --faults none
python -m bench.quota --only wxcheck-text --models none --faults kill,clock+
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

from bench.machine import describe_machine, in_a_line
from bench.quota.contenders import CONTENDERS, PEERS, Contender
from bench.quota.faults import FAULTS
from bench.quota.latency import MODELS
from bench.quota.result import Row
from bench.quota.run import Plan, Run, Stopped
from bench.quota.scale import SCALES, Scale
from bench.quota.table import as_markdown, as_text
from bench.servers import RunFailed
from ops.local.errors import LocalError
from ops.local.interrupt import Interrupted, interruptible

#: contenders that faults are done to
_WITH_FAULTS = ("wxcheck-text",)
#: the latency under a fault
_MODEL_OF_FAULTS = "calm"


class Bench:
    """Makes the runs of several plans, and keeps their rows in the order of the plans.

    ``keep`` is called after each run, with this object: what has been measured is not lost with what follows.
    """

    def __init__(self, plans: list[Plan], keep: Callable[[Bench], None]) -> None:
        self._plans = plans
        self._keep = keep
        self._keeping = threading.Lock()
        self._stop = threading.Event()
        self._rows: dict[int, list[Row]] = {}
        self.failures: list[str] = []
        self.server = "Redis ?"

    @property
    def rows(self) -> list[Row]:
        return [row for number in sorted(self._rows) for row in self._rows[number]]

    def run(self, side_by_side: int) -> None:
        """Makes every run, so many at a time. What fails is noted, and the others are made."""
        with ThreadPoolExecutor(side_by_side, thread_name_prefix="run") as pool:
            futures = [pool.submit(self._one, number, plan) for number, plan in enumerate(self._plans)]
            try:
                for future in futures:
                    future.result()
            except CancelledError:
                pass
            except BaseException:
                self._stop.set()
                for future in futures:
                    future.cancel()
                raise

    def _one(self, number: int, plan: Plan) -> None:
        if self._stop.is_set():
            return
        began = time.monotonic()
        run = Run(plan, self._stop)
        try:
            self._rows[number] = run.rows()
        except Stopped:
            return
        except (RunFailed, LocalError) as failure:
            self.failures.append(f"{plan.title}: {failure}")
            told = f"failed: {failure}"
        else:
            self.server = run.server
            told = "; ".join(f"use {row.use:.1%}, most {row.most_in_window}" for row in self._rows[number])
        with self._keeping:
            self._keep(self)
        _tell(f"[{number + 1}/{len(self._plans)}] {plan.title}: {told} ({time.monotonic() - began:.0f} s)")


class Output:
    """The table on the terminal and in the files that were asked for."""

    def __init__(self, given: argparse.Namespace, scale: Scale) -> None:
        self._given = given
        self._scale = scale

    def text(self, bench: Bench) -> str:
        return as_text(bench.rows, self._scale, self._conditions(bench))

    def write(self, bench: Bench) -> None:
        """Writes the files, with the rows that there are."""
        if self._given.json:
            results = {
                "machine": describe_machine(bench.server, PEERS),
                "scale": asdict(self._scale),
                "jobs": self._given.jobs,
                "rows": [row.as_json() for row in bench.rows],
                "failures": bench.failures,
            }
            self._given.json.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
        if self._given.markdown:
            self._given.markdown.write_text(as_markdown(bench.rows, self._scale, self._conditions(bench)))

    def _conditions(self, bench: Bench) -> str:
        beside = f"; {self._given.jobs} runs side by side" if self._given.jobs > 1 else ""
        return in_a_line(describe_machine(bench.server, PEERS)) + beside


def _names(given: str, known: Iterable[str], what: str) -> list[str]:
    """``given`` is ``all``, ``none``, or names and beginnings of names, with commas between."""
    known = list(known)
    if given in ("all", "none"):
        return known if given == "all" else []
    chosen = []
    for name in given.split(","):
        found = [one for one in known if one == name] or [one for one in known if one.startswith(name)]
        if not name or not found:
            raise SystemExit(f"bench: {what} {name!r} is none of {', '.join(known)}; take some of these, all, or none")
        chosen += [one for one in found if one not in chosen]
    return chosen


def _plans(given: argparse.Namespace) -> list[Plan]:
    scale = SCALES[given.scale]
    if given.measured:
        scale = replace(scale, measured=given.measured, measured_with_fault=given.measured)
    contenders: list[Contender] = [CONTENDERS[name] for name in _names(given.only, CONTENDERS, "contender")]
    models = _names(given.models, MODELS, "latency model")
    faults = [FAULTS[name] for name in _names(given.faults, FAULTS, "fault")]
    plans = [Plan(contender, model, None, scale, given.seed) for contender in contenders for model in models]
    plans += [
        Plan(contender, _MODEL_OF_FAULTS, fault, scale, given.seed)
        for contender in contenders
        if contender.name in _WITH_FAULTS
        for fault in faults
    ]
    if not plans:
        raise SystemExit(
            "bench: nothing to run; faults are done to wxcheck-text only, and --models none leaves no other"
        )
    return plans


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.quota", description="Measures how quotas are kept and used.")
    parser.add_argument("--scale", choices=SCALES, default="short", help="full: the platform's own quota and minute")
    parser.add_argument("--only", default="all", help=f"of {', '.join(CONTENDERS)}; 'wxcheck' is all that begin so")
    parser.add_argument("--models", default="all", help=f"latency: all, none, or of {', '.join(MODELS)}")
    parser.add_argument("--faults", default="all", help=f"for wxcheck-text: all, none, or of {', '.join(FAULTS)}")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side; more than one disturb each other a bit")
    parser.add_argument("--measured", type=float, help="seconds of steady state, in place of the scale's")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the results to this file, too")
    parser.add_argument("--markdown", type=Path, help="write the table to this file, too")
    return parser.parse_args()


def main() -> int:
    given = _parse()
    plans = _plans(given)
    scale = plans[0].scale
    for path in filter(None, (given.json, given.markdown)):  # a directory that can't be made is told before the runs
        path.parent.mkdir(parents=True, exist_ok=True)
    about = sum(plan.seconds for plan in plans) / given.jobs / 60
    _tell(f"{len(plans)} runs, about {about:.0f} min; {scale.describe()}")
    output = Output(given, scale)
    bench = Bench(plans, output.write)
    try:
        with interruptible():
            bench.run(given.jobs)
    except Interrupted as interrupted:
        _tell(f"ended by {interrupted.signal.name}")
        return interrupted.exit_code
    print(output.text(bench))
    for failure in bench.failures:
        _tell(f"FAILED {failure}")
    return 1 if bench.failures else 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
