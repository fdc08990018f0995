"""``scaling``: text checks a second with 1, 2 and 4 worker processes, beside bare Celery's with as many.

As ``text`` is measured, with more workers on the same queue. Redis and the stand-in run on the same cores: beyond
these nothing can become faster, and before it already less than in proportion.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from statistics import median

from bench.overhead.outcome import Measured, Row, steady_rate
from bench.overhead.scale import Scale
from bench.overhead.side import Kind, Options, Side

PEER = "bare Celery, as many"
#: turns of each side with each number of processes
ROUNDS = 3


def run(scale: Scale, options: Options) -> Measured:
    """Both sides in turn, with more and more processes."""
    rates: dict[Kind, list[list[float]]] = {"wxcheck": [], "bare": []}
    with ExitStack() as stack:
        sides = [stack.enter_context(Side(kind, options)) for kind in rates]
        for number in scale.processes:
            for side in sides:
                while len(side.workers) < number:
                    side.add_worker()
                side.await_workers()
                side.run_texts(scale.warm_up * number)
                rates[side.kind].append([])
            for _ in range(min(ROUNDS, scale.rounds)):
                for side in sides:
                    rates[side.kind][-1].append(steady_rate(side.run_texts(scale.scaled_texts)[0]))
    rows = []
    for number, ours, bare in zip(scale.processes, rates["wxcheck"], rates["bare"], strict=True):
        rows.append(Row("scaling", f"text checks, worker processes: {number}", "1/s", ours, bare, PEER))
        if number > 1:
            faster, peers = (
                [rate / median(of[0]) for rate in now] for of, now in ((rates["wxcheck"], ours), (rates["bare"], bare))
            )
            rows.append(Row("scaling", f"the same, to one process: {number}", "×", faster, peers, PEER))
    medians = {str(kind): [median(of) for of in found] for kind, found in rates.items()}
    return Measured(rows, {"processes": list(scale.processes), "cores": os.cpu_count(), **medians})
