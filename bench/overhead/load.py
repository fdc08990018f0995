"""``python -m bench.overhead.load``: writes pushes that were made beforehand to an endpoint, as fast as it answers.

A process of its own, which prints a line of JSON at its end: ``{"times": when each 200 came, "statuses": …}``, times in
seconds since the epoch.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from typing import Any

from bench.overhead.connections import Connections
from bench.overhead.pushes import request
from ops.local.redis_server import HOST

#: kept-alive connections
SIZE = 32


async def load(port: int, requests: list[bytes]) -> dict[str, Any]:
    """Sends ``requests``, each connection the next one as soon as it has an answer."""
    connections = Connections(HOST, port, SIZE)
    statuses: Counter[int] = Counter()
    times: list[float] = []
    all_done = asyncio.get_running_loop().create_future()

    def done(status: int) -> None:
        statuses[status] += 1
        if status == 200:
            times.append(time.time())
        if statuses.total() == len(requests):
            all_done.set_result(None)

    for one in requests:
        connections.send(one, done)
    await all_done
    return {"times": times, "statuses": dict(statuses)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.overhead.load")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--plain", action="store_true", help="plain JSON, neither signed nor encrypted")
    given = parser.parse_args()
    requests = [request(number, sealed=not given.plain) for number in range(given.count)]
    print(json.dumps(asyncio.run(load(given.port, requests))))


if __name__ == "__main__":
    main()
