"""``python -m bench.overhead.platform``: the stand-in for the platform, which answers at once.

A process of its own on asyncio's bare protocol, over kept-alive connections. A text is answered with a verdict, a
picture with a new trace_id; then, where it is told to, it pushes the verdict to the endpoint, some time later, as the
platform does: a push that overtakes its own answer is another path. It counts, and answers the bench:

``POST /bench/set {"push_after": range}`` pictures are pushed from now on, so many seconds after their answer: at random
                                         within ``[least, most]``; null: not at all
``POST /bench/prepare {"count": int}``   makes that many pushes beforehand, so that their encryption costs no time later
``POST /bench/push {"number": int}``     pushes one that was taken without a push
``GET /bench/counts``                    ``{"text", "media", "pushes": {status: number}}``
``GET /bench/times``                     when each text came, in seconds since the epoch: doubles of this machine
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import time
from array import array
from collections import Counter, deque

from bench.overhead.connections import Connections
from bench.overhead.names import trace_id
from bench.overhead.pushes import request
from bench.platform import MEDIA_PATH, TEXT_PATH, HttpConnection, answer_beside
from ops.local.redis_server import HOST

#: connections to the endpoint
CONNECTIONS = 32

_OK = json.dumps({"errcode": 0, "errmsg": "ok"}).encode()


class Platform:
    """Counts what comes, and pushes."""

    def __init__(self, endpoint: Connections, *, sealed: bool) -> None:
        self._endpoint = endpoint
        self._sealed = sealed
        self._push_after: tuple[float, float] | None = None
        self._made: deque[tuple[int, bytes]] = deque()
        self._statuses: Counter[int] = Counter()
        self.times = array("d")
        self.calls = {"text": 0, "media": 0}

    def text(self) -> bytes:
        self.calls["text"] += 1
        self.times.append(time.time())
        return _OK

    def media(self) -> bytes:
        number = self.calls["media"]
        self.calls["media"] += 1
        if self._push_after:
            delay = random.uniform(*self._push_after)  # noqa: S311
            asyncio.get_running_loop().call_later(delay, self.push, number)
        return json.dumps({"errcode": 0, "errmsg": "ok", "trace_id": trace_id(number)}).encode()

    def push(self, number: int) -> None:
        while self._made and self._made[0][0] < number:
            self._made.popleft()
        made = self._made.popleft()[1] if self._made and self._made[0][0] == number else self._make(number)
        self._endpoint.send(made, self._pushed)

    def prepare(self, count: int) -> None:
        first = self.calls["media"]
        self._made = deque((number, self._make(number)) for number in range(first, first + count))

    def set_push_after(self, seconds: tuple[float, float] | None) -> None:
        self._push_after = seconds

    def counts(self) -> bytes:
        return json.dumps({**self.calls, "pushes": dict(self._statuses)}).encode()

    def _make(self, number: int) -> bytes:
        return request(number, sealed=self._sealed)

    def _pushed(self, status: int) -> None:
        self._statuses[status] += 1


class Connection(HttpConnection):
    def __init__(self, platform: Platform) -> None:
        super().__init__()
        self._platform = platform

    def request(self, path: bytes, body: bytes) -> None:
        self.send(self._answer(path, body))

    def _answer(self, path: bytes, body: bytes) -> bytes:
        platform = self._platform
        if path == TEXT_PATH:
            return platform.text()
        if path == MEDIA_PATH:
            return platform.media()
        match path:
            case b"/bench/counts":
                return platform.counts()
            case b"/bench/times":
                return platform.times.tobytes()
            case b"/bench/set":
                platform.set_push_after(json.loads(body)["push_after"])
            case b"/bench/prepare":
                platform.prepare(json.loads(body)["count"])
            case b"/bench/push":
                platform.push(json.loads(body)["number"])
            case _:
                return json.dumps(answer_beside(path, body, platform.calls)).encode()
        return b"{}"


async def serve(port: int, endpoint_port: int, *, sealed: bool) -> None:
    """Serves until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    platform = Platform(Connections(HOST, endpoint_port, CONNECTIONS), sealed=sealed)
    server = await loop.create_server(lambda: Connection(platform), HOST, port, backlog=512)
    print(f"answering at http://{HOST}:{port}", flush=True)
    await ended.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.overhead.platform")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--endpoint-port", type=int, required=True, help="where pushes go")
    parser.add_argument("--plain", action="store_true", help="pushes are plain JSON, neither signed nor encrypted")
    given = parser.parse_args()
    asyncio.run(serve(given.port, given.endpoint_port, sealed=not given.plain))


if __name__ == "__main__":
    main()
