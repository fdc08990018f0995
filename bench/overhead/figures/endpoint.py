"""``endpoint``: pushes a second of one endpoint process, each verified, decrypted and on the queue.

Load: a process of its own, with requests that were signed and encrypted beforehand, over 32 kept-alive connections.
Nothing consumes the queue; the number on it must be that of the 200s. Peer: the same framework, protocol class and
server options, a handler that reads plain JSON and calls ``send_task`` with the same options. The rate is that of the
answers from a tenth to nine tenths of them. Besides, without a target, the CPU time of the endpoint for each push.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack

from bench.machine import cpu_seconds
from bench.overhead import names
from bench.overhead.outcome import Measured, Row, at_least, steady_rate
from bench.overhead.scale import Scale
from bench.overhead.side import Kind, Options, Side
from bench.servers import RunFailed, inherited_environment
from config.names import PUSH_QUEUE

TITLE = "pushes of one endpoint process"
PEER = "same framework, bare send_task"
#: pushes before the first one that counts
WARM_UP = 500
#: seconds for one turn
_LONGEST = 180

QUEUES: dict[Kind, str] = {"wxcheck": PUSH_QUEUE, "bare": names.PUSH_QUEUE}


def run(scale: Scale, options: Options) -> Measured:
    """Both sides in turn."""
    rates: dict[Kind, list[float]] = {"wxcheck": [], "bare": []}
    cpu: dict[Kind, list[float]] = {"wxcheck": [], "bare": []}
    with ExitStack() as stack:
        sides = [stack.enter_context(Side(kind, options, workers=[], endpoint=True)) for kind in rates]
        for side in sides:
            pushed(side, WARM_UP)
        for _ in range(scale.rounds):
            for side in sides:
                rate, spent = pushed(side, scale.pushes)
                rates[side.kind].append(rate)
                cpu[side.kind].append(spent / scale.pushes * 1000)
    return Measured(
        [
            Row("endpoint", TITLE, "1/s", rates["wxcheck"], rates["bare"], PEER, at_least(2)),
            Row("endpoint", "CPU of the endpoint for a push", "ms", cpu["wxcheck"], cpu["bare"], PEER),
        ]
    )


def pushed(side: Side, count: int) -> tuple[float, float]:
    """Pushes a second, and the CPU seconds of the endpoint.

    Raises:
        RunFailed: one was not answered 200, or the queue does not hold exactly these.
    """
    queue = QUEUES[side.kind]
    side.redis.delete(queue)
    spent = cpu_seconds(side.pid("endpoint")) or 0.0
    plain = ["--plain"] if side.kind == "bare" else []
    command = [sys.executable, "-m", "bench.overhead.load", "--port", str(side.endpoint_port), "--count", str(count)]
    said = subprocess.run(
        [*command, *plain],
        cwd=side.directory,
        env=inherited_environment(),
        capture_output=True,
        text=True,
        timeout=_LONGEST,
        check=False,
    )
    if said.returncode:
        raise RunFailed(f"{side.kind}: the load has failed: {said.stderr[-2000:]}")
    found = json.loads(said.stdout)
    spent = (cpu_seconds(side.pid("endpoint")) or 0.0) - spent
    queued = side.redis.llen(queue)
    if found["statuses"] != {"200": count} or queued != count:
        raise RunFailed(f"{side.kind}: {count} pushes, answers {found['statuses']}, {queued} on the queue")
    return steady_rate(found["times"]), spent
