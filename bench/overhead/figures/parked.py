"""``parked``: bytes in Redis for each parked check.

All that a parked check has there: the check, its record, its entry by time; and told apart, the result WAITING that its
application sees. Peer: the message of the very same chain as it waits in a queue of bare Celery. By the growth of
``used_memory``, after ``MEMORY PURGE``, with that of the server's own tables; no worker is connected meanwhile. One
check is really parked by a worker and copied, with ids of its own for each (:mod:`bench.overhead.parked`).
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

from bench.overhead import checks
from bench.overhead.clones import put
from bench.overhead.outcome import Measured, Row, at_most
from bench.overhead.parked import park_one
from bench.overhead.scale import Scale
from bench.overhead.side import EACH, Options, Side
from store.connection import connect

PEER = "its message in a queue"
#: seconds for one answer: a purge walks through all memory
_ANSWER = 60.0
#: bytes between two looks at memory that count as none
_STILL = 4096


def run(scale: Scale, options: Options) -> Measured:
    """Each number of checks on top of the one before."""
    sizes = scale.parked
    with ExitStack() as stack:
        ours = stack.enter_context(Side("wxcheck", options, workers=[EACH["wxcheck"][1]]))
        bare = stack.enter_context(Side("bare", options, workers=[]))
        parked = park_one(ours)
        ours.stop_workers()
        waiting = checks.media(bare.url)
        clones = waiting.clones()
        store = stack.enter_context(connect(ours.url, _ANSWER, retries=0, text=False))
        broker = stack.enter_context(connect(bare.url, _ANSWER, retries=0, text=False))
        totals = {"state": 0, "result": 0, "message": 0}
        each: dict[str, list[float]] = {name: [] for name in totals}
        reached = 0
        for size in sizes:
            for name, commands in (("state", parked.state), ("result", parked.result)):
                before = used(store)
                parked.copy(store, commands, reached, size - 1)
                totals[name] += used(store) - before
            before = used(broker)
            put(broker, waiting.queue, [next(clones) for _ in range(size - reached)])
            totals["message"] += used(broker) - before
            reached = size
            for name, total in totals.items():
                each[name].append(total / size)
    rows = []
    for number, size in enumerate(sizes):
        if size in (sizes[0], sizes[-1]):
            state, result, message = (each[name][number] for name in ("state", "result", "message"))
            title = f"a parked check, of {size:,}"
            rows += [
                Row("parked", title, "bytes", [state], [message], PEER, at_most(1.6)),
                Row("parked", f"{title}, with its result", "bytes", [state + result], [message], PEER),
            ]
    return Measured(rows, {"sizes": list(sizes), **each})


def used(client: Any) -> int:
    """The memory that the server uses, once that stays the same."""
    before = -_STILL
    while True:
        client.execute_command("MEMORY PURGE")
        time.sleep(0.5)  # tables grow step by step
        now = int(client.info("memory")["used_memory"])
        if abs(now - before) < _STILL:
            return now
        before = now
