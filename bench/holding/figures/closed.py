"""``closed``: what a worker holds, and does, while the day's quota of 1 to 1,000 appIds is gone and checks wait.

Each appId has one call a day and four checks that wait for the next one. A system for each number of appIds, all up at
once and watched one after the other, once the connections of the first calls are closed. Clients: the worker's
connections to Redis; commands: those that Redis runs a second, those within scripts included; CPU: of one core.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from bench.holding.system import ONE_A_DAY, SETTLES, WAIT, appids, held, put_each
from bench.overhead.outcome import Measured, Row, Target
from bench.overhead.side import Side

if TYPE_CHECKING:
    from bench.holding.scale import Scale
    from bench.overhead.side import Options

#: more clients and descriptors than with the fewest appIds
MORE = 5
COMMANDS = Target("at most", 60, of_value=True)
CPU = Target("at most", 2, of_value=True)


def run(scale: Scale, options: Options) -> Measured:
    """Has all first calls made, and watches the workers."""
    with ExitStack() as stack:
        sides = {}
        for size in scale.closed:
            names = appids(size)
            side = stack.enter_context(Side("wxcheck", options, settings=ONE_A_DAY, appids=names))
            put_each(side, [side.text.of(appid) for appid in names], 1 + WAIT)
            side.await_count("first calls", partial(_calls, side), size, 120)
            side.await_quiet()
            sides[size] = side
        time.sleep(SETTLES)
        found = {size: held(side, side.workers[0], scale.watched) for size, side in sides.items()}
    first = found[scale.closed[0]]
    rows = []
    for size, one in found.items():
        beside = f"{size:,} appId{'s' * (size > 1)} whose day's quota is gone"
        for what, value, least in (
            ("Redis clients of a worker", one.clients, first.clients),
            ("descriptors of a worker", one.descriptors, first.descriptors),
        ):
            target = Target("at most", least + MORE, of_value=True) if size > scale.closed[0] else None
            rows.append(Row("closed", f"{beside}: {what}", "", [value], target=target))
        rows.append(Row("closed", f"{beside}: threads", "", [one.threads]))
        rows.append(Row("closed", f"{beside}: commands to Redis", "1/s", [one.commands], target=COMMANDS))
        rows.append(Row("closed", f"{beside}: CPU of the worker", "%", [one.cpu], target=CPU))
    return Measured(rows, {"appids": list(found), **_columns([asdict(one) for one in found.values()])})


def _calls(side: Side) -> int:
    return int(side.counts()["text"])


def _columns(of: list[dict[str, float]]) -> dict[str, list[float]]:
    return {name: [one[name] for one in of] for name in of[0]}
