"""``scripts``: the longest script of Redis while a million checks wait in one lane.

The lane is filled through ``Places.file`` in batches of 64, and a worker takes from it at the platform's quota. Then,
five times, a check of another appId arrives behind them, and one of high priority for the lane itself. By the slow log,
which notes every command meanwhile, the longest of each turn is told.
"""

from __future__ import annotations

import json
import time
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from bench.holding.system import fill, waiting
from bench.overhead import checks, slowlog
from bench.overhead.clones import put
from bench.overhead.outcome import Measured, Row, Target
from bench.overhead.side import Side
from bench.servers import APPID
from wxcheck import HIGH_PRIORITY

if TYPE_CHECKING:
    from bench.holding.scale import Scale
    from bench.overhead.side import Options

OTHER = "wx0000000000000001"
#: turns, and seconds of each
TURNS, SECONDS = 5, 2.0
#: milliseconds
BOUND = Target("at most", 5, of_value=True)
#: seconds
SENT = Target("at most", 2, of_value=True)


def run(scale: Scale, options: Options) -> Measured:
    """Fills the lane, then times what runs."""
    longest, names, seconds, before_all = [], [], [], []
    # one call, then none: the lane is filled behind it, and opens with the platform's quota
    with Side("wxcheck", options, settings={}, appids=[OTHER]) as side:
        side.put(side.text, 3_000)
        side.wait("the lane has a backlog", lambda: waiting(side, APPID) > 1_000)
        fill(side, side.text, APPID, scale.waiting)
        other, urgent = side.text.of(OTHER), checks.text(side.url, priority=HIGH_PRIORITY)
        for turn in range(1, 1 + TURNS):
            slowlog.begin(side.redis)
            began = time.monotonic()
            side.put(other, 1)
            side.await_count("checks of the other appId", partial(_sent, side), turn, 60)
            seconds.append(time.monotonic() - began)
            (message,) = islice(urgent.clones(), 1)
            began = time.monotonic()
            put(side.redis, urgent.queue, [message])
            result = f"celery-task-meta-{json.loads(message)['headers']['id']}"
            side.await_count("urgent checks", partial(side.redis.exists, result), 1, 60)
            before_all.append(time.monotonic() - began)
            time.sleep(SECONDS)
            times = slowlog.script_times(side.redis)
            name, most = max(((name, max(of)) for name, of in times.items()), key=lambda pair: pair[1])
            longest.append(most / 1000)
            names.append(name)
        left = waiting(side, APPID)
    if left < scale.waiting / 2:
        raise ValueError(f"scripts: only {left} of {scale.waiting} are still waiting; the lane was no backlog")
    title = f"{scale.waiting:,} waiting in a lane"
    return Measured(
        [
            Row("scripts", f"{title}: longest script, worst of {TURNS} turns", "ms", [max(longest)], target=BOUND),
            Row("scripts", f"{title}: longest script of a turn", "ms", longest, target=BOUND),
            Row("scripts", f"{title}: another appId's check, put to sent", "s", seconds, target=SENT),
            Row("scripts", f"{title}: one of high priority, put to ended", "s", before_all, target=SENT),
        ],
        {"longest": longest, "names": names},
    )


def _sent(side: Side) -> int:
    return len(side.arrivals().get(OTHER, ()))
