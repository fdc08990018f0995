"""``sweep``: one sweep of a worker (``Places.bring_on``) with a million parked checks of which none is due.

Median and worst, called in a process of its own beside an idle worker.
"""

from __future__ import annotations

import json
import sys

from bench.overhead.outcome import Measured, Row, Target
from bench.overhead.parked import bulk, park_one
from bench.overhead.scale import Scale
from bench.overhead.side import EACH, LIFTED, Options, Side

#: milliseconds
BOUND = Target("at most", 5, of_value=True)


def run(scale: Scale, options: Options) -> Measured:
    """Fills a Redis of its own first."""
    settings = {**LIFTED, "WXCHECK_PUSH_TIMEOUT": "864000"}
    with Side("wxcheck", options, workers=[EACH["wxcheck"][1]], settings=settings) as side:
        size = scale.beside[-1]
        bulk(side, park_one(side), size)
        return Measured(measure(side, scale, size))


def measure(side: Side, scale: Scale, size: int) -> list[Row]:
    """Sweeps a Redis that is filled."""
    said = side.call([sys.executable, "-m", "bench.overhead.sweep_probe", str(scale.sweeps)])
    taken = [seconds * 1000 for seconds in json.loads(said.splitlines()[-1])]
    title = f"a sweep with {size:,} parked, none due"
    return [
        Row("sweep", f"{title}, median", "ms", taken, target=BOUND),
        Row("sweep", f"{title}, worst of {len(taken)}", "ms", [max(taken)], target=BOUND),
    ]
