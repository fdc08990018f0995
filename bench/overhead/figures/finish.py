"""``finish``: the time to finish a push beside 1,000 to a million parked checks, each beside its own at the fewest.

A Redis, a worker, an endpoint and an application for each number, all up at once; pushes go to them in turn, one at a
time. Wall time from before the POST to the follow-up's start; besides, by Redis' own clock, what the scripts took
that finish one. The checks are copies of one that was really parked (:mod:`bench.overhead.parked`), and the pushes
finish such copies.
"""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from statistics import median
from typing import Any

import requests

from bench.overhead import slowlog
from bench.overhead.figures import sweep
from bench.overhead.figures.latency import await_end, pause
from bench.overhead.outcome import Measured, Row, at_most
from bench.overhead.parked import FIRST, bulk, park_one
from bench.overhead.pushes import request
from bench.overhead.scale import Scale
from bench.overhead.side import LIFTED, Options, Side
from ops.local.redis_server import HOST

#: what runs in Redis to finish one
SCRIPTS = ("store/places/push", "store/places/take", "store/places/finish")
#: pushes to each before the first one that counts
WARM_UP = 10
#: seconds that nothing of the copies is due in
SETTINGS = {**LIFTED, "WXCHECK_PUSH_TIMEOUT": "864000"}


def run(scale: Scale, options: Options) -> Measured:
    """Fills each Redis, then pushes to each in turn; and sweeps the largest."""
    sizes = scale.beside
    taken: dict[int, list[float]] = {size: [] for size in sizes}
    with ExitStack() as stack:
        sides = {}
        for size in sizes:
            side = Side("wxcheck", options, endpoint=True, application=True, settings=SETTINGS)
            sides[size] = stack.enter_context(side)
            bulk(side, park_one(side), size)
        session = stack.enter_context(requests.Session())
        session.trust_env = False
        for turn in range(WARM_UP + scale.finishes):
            if turn == WARM_UP:
                for side in sides.values():
                    slowlog.begin(side.redis)
            for size, side in random.sample(list(sides.items()), len(sides)):
                # spread over all of them
                seconds = finish(session, side, FIRST + turn * (size // (WARM_UP + scale.finishes)))
                if turn >= WARM_UP:
                    taken[size].append(seconds * 1000)
        scripts = {size: slowlog.script_times(side.redis) for size, side in sides.items()}
        swept = sweep.measure(sides[sizes[-1]], scale, sizes[-1])
    rounds = {size: _by_round(times, scale.rounds) for size, times in taken.items()}
    micro = {size: slowlog.together(times, SCRIPTS) for size, times in scripts.items()}
    rows = []
    first = sizes[0]
    for size in sizes[1:]:
        title = f"finishing a push beside {size:,} parked"
        peer = f"beside {first:,}"
        rows.append(Row("finish", title, "ms", rounds[size], rounds[first], peer, at_most(1.1)))
        rows.append(Row("finish", f"{title}: Redis, scripts", "µs", [micro[size]], [micro[first]], peer))
    series: dict[str, Any] = {
        "sizes": list(sizes),
        "milliseconds": [taken[size] for size in sizes],
        "redis_microseconds": [micro[size] for size in sizes],
        "scripts": {size: {name: median(of) for name, of in times.items()} for size, times in scripts.items()},
    }
    return Measured([*rows, *swept], series)


def finish(session: requests.Session, side: Side, number: int) -> float:
    """Pushes one check; seconds from the POST to the start of its follow-up."""
    head, _, body = request(number, sealed=True).partition(b"\r\n\r\n")
    path = head.split(b" ", 2)[1].decode()
    began = time.time()
    answer = session.post(f"http://{HOST}:{side.endpoint_port}{path}", data=body, timeout=30)
    ended = await_end(side, number)
    answer.raise_for_status()
    pause()
    return ended - began


def _by_round(times: list[float], rounds: int) -> list[float]:
    """Medians of as many parts of equal length, in their order."""
    length = max(1, len(times) // rounds)
    return [median(times[start : start + length]) for start in range(0, length * rounds, length)][:rounds]
