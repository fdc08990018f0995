"""``text``: text checks a second of one worker process, and their ``cpu``.

wxcheck: ``wxcheck.check_text`` from its queue to its stored result: record, permit, token, call, end. Peer: a bare task
that posts the same body over a kept-alive session for each thread and stores its result. A backlog is put on the queue
of a warm worker; the rate is that of the calls' arrivals at the stand-in from a tenth to nine tenths of them. ``cpu``
is the time that workers and Redis took from the first message to the last acknowledgement, for each check.
"""

from __future__ import annotations

from contextlib import ExitStack

from bench.overhead.outcome import Measured, Row, at_least, at_most, steady_rate
from bench.overhead.scale import Scale
from bench.overhead.side import Kind, Options, Side

TITLE = "text checks of one worker process"
PEER = "bare task"


def run(scale: Scale, options: Options) -> Measured:
    """Both sides in turn."""
    rates: dict[Kind, list[float]] = {"wxcheck": [], "bare": []}
    cpu: dict[Kind, list[float]] = {"wxcheck": [], "bare": []}
    with ExitStack() as stack:
        sides = [stack.enter_context(Side(kind, options)) for kind in rates]
        for side in sides:
            side.run_texts(scale.warm_up)
        for _ in range(scale.rounds):
            for side in sides:
                times, spent = side.run_texts(scale.texts)
                rates[side.kind].append(steady_rate(times))
                cpu[side.kind].append(spent / scale.texts * 1000)
    return Measured(
        [
            Row("text", TITLE, "1/s", rates["wxcheck"], rates["bare"], PEER, at_least(0.85)),
            Row("cpu", "CPU of a text check", "ms", cpu["wxcheck"], cpu["bare"], PEER, at_most(1.3)),
        ]
    )
