"""``python -m bench.overhead.platform``: the stand-in for the platform, which answers at once.

A process of its own on asyncio's bare protocol, over kept-alive connections. A text is answered with a verdict, a
picture with a new trace_id; then, where it is told to, it pushes the verdict to the endpoint, some time later, as the
platform does: a push that overtakes its own answer is another path. It counts, and answers the bench:

``POST /bench/set {"push_after": range}`` pictures are pushed from now on, so many seconds after their answer: at random
                                         within ``[least, most]``; null: not at all
``POST /bench/set {"answer_after": seconds}`` texts are answered so late from now on; ``{"new_day": true}`` of the quota
                                         of the day nothing is used
``POST /bench/prepare {"count": int}``   makes that many pushes beforehand, so that their encryption costs no time later
``POST /bench/push {"number": int}``     pushes one that was taken without a push
``GET /bench/counts``                    ``{"text", "media", "pushes": {status: number}}``
``GET /bench/times``                     when each text came, in seconds since the epoch: doubles of this machine
``GET /bench/arrivals``                  the same of each appId: ``{appid: [seconds, …]}``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import time
from array import array
from collections import Counter, defaultdict, deque
from typing import Any

from bench.overhead.connections import Connections
from bench.overhead.names import trace_id
from bench.overhead.pushes import request
from bench.platform import MEDIA_PATH, TEXT_PATH, HttpConnection, answer_beside, appid_in
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
        #: texts of each appId until the day began
        self._used_before: Counter[str] = Counter()
        self.answer_after = 0.0
        self.arrivals: defaultdict[str, array[float]] = defaultdict(lambda: array("d"))

    def text(self, appid: str) -> bytes:
        now = time.time()
        self.calls["text"] += 1
        self.times.append(now)
        self.arrivals[appid].append(now)
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

    def set(self, said: dict[str, Any]) -> None:
        if "push_after" in said:
            self._push_after = said["push_after"]
        self.answer_after = said.get("answer_after", self.answer_after)
        if "new_day" in said:
            self._used_before = Counter({appid: len(times) for appid, times in self.arrivals.items()})

    def used(self, appid: str) -> dict[str, int]:
        return {"text": len(self.arrivals.get(appid, ())) - self._used_before[appid], "media": self.calls["media"]}

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
        answer = self._answer(path, body)
        if path == TEXT_PATH and self._platform.answer_after:
            asyncio.get_running_loop().call_later(self._platform.answer_after, self.send, answer)
        else:
            self.send(answer)

    def _answer(self, path: bytes, body: bytes) -> bytes:
        platform = self._platform
        if path == TEXT_PATH:
            return platform.text(appid_in(self.query))
        if path == MEDIA_PATH:
            return platform.media()
        match path:
            case b"/bench/counts":
                return platform.counts()
            case b"/bench/times":
                return platform.times.tobytes()
            case b"/bench/arrivals":
                return json.dumps({appid: times.tolist() for appid, times in platform.arrivals.items()}).encode()
            case b"/bench/set":
                platform.set(json.loads(body))
            case b"/bench/prepare":
                platform.prepare(json.loads(body)["count"])
            case b"/bench/push":
                platform.push(json.loads(body)["number"])
            case _:
                return json.dumps(answer_beside(path, body, platform.used(appid_in(self.query)))).encode()
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
