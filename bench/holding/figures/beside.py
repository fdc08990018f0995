"""``beside``: 500 checks of one appId beside 200,000 of another one that is closed, to the same alone.

Two systems in one run, each with a worker, by turns; quotas are lifted for the first appId, and the day of the other
one is over. From the first message put to the last call.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from bench.holding.system import fill, waiting
from bench.overhead.outcome import Measured, Row, at_most
from bench.overhead.side import LIFTED, SECRET, Side

if TYPE_CHECKING:
    from bench.holding.scale import Scale
    from bench.overhead.side import Options

CLOSED = "wx0000000000000001"


def run(scale: Scale, options: Options) -> Measured:
    """Both by turns."""
    settings = {**LIFTED, "WXCHECK_APPS": json.dumps({CLOSED: {"secret": SECRET, "text_per_day": 1}})}
    with ExitStack() as stack:
        alone, beside = (
            stack.enter_context(Side("wxcheck", options, settings=settings, appids=[CLOSED])) for _ in range(2)
        )
        beside.put(beside.text.of(CLOSED), 2)
        beside.wait("the lane is closed", lambda: waiting(beside, CLOSED) == 1)
        fill(beside, beside.text.of(CLOSED), CLOSED, scale.beside)
        taken: dict[Side, list[float]] = {alone: [], beside: []}
        for turn in range(1 + 2 * scale.rounds):
            for side, seconds in taken.items() if turn % 2 else reversed(taken.items()):
                began = time.time()
                last = max(side.run_texts(scale.others)[0])
                if turn:
                    seconds.append(last - began)
    title = f"{scale.others} checks beside {scale.beside:,} of an appId that is closed"
    return Measured([Row("beside", title, "s", taken[beside], taken[alone], "alone", at_most(1.1))])
