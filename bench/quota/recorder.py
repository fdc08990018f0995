"""``python -m bench.quota.recorder``: a platform that notes when each call arrives, and enforces nothing.

HTTP/1.1 over kept-alive connections, on asyncio's bare protocol: it must cost next to nothing beside the workers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import time
from pathlib import Path
from typing import Any

from bench.quota.arrivals import pack
from bench.quota.latency import MODELS, Draw, latency
from bench.quota.scale import Lane

TEXT_PATH = b"/wxa/msg_sec_check"
MEDIA_PATH = b"/wxa/media_check_async"
TOKEN_PATH = b"/cgi-bin/stable_token"
QUOTA_PATH = b"/cgi-bin/openapi/quota/get"

#: seconds between two writes to the file
FLUSH = 1.0
#: bytes of a request; the bench's are a few hundred
_LARGEST = 1 << 20


class Recorder:
    """Notes calls in memory, and writes them to ``path`` once a second."""

    def __init__(self, path: Path, draw: Draw, chance: random.Random) -> None:
        self._draw = draw
        self._chance = chance
        self._started = time.monotonic()
        self._pending: list[bytes] = []
        self._calls: dict[Lane, int] = {"text": 0, "media": 0}
        self._file = path.open("ab", buffering=0)

    def answer(self, path: bytes, body: bytes) -> tuple[float, dict[str, Any]]:
        """The seconds to wait, and the answer. A check is noted as arrived now."""
        monotonic, wall = time.monotonic_ns(), time.time_ns()
        if path == TEXT_PATH:
            return self._note("text", monotonic, wall), {"errcode": 0, "errmsg": "ok"}
        if path == MEDIA_PATH:
            trace_id = f"{self._chance.getrandbits(128):032x}"
            return self._note("media", monotonic, wall), {"errcode": 0, "errmsg": "ok", "trace_id": trace_id}
        if path == TOKEN_PATH:
            return 0.0, {"access_token": "token-of-the-bench", "expires_in": 7200}
        if path == QUOTA_PATH:
            return 0.0, self._quota(body)
        return 0.0, {"errcode": 40066, "errmsg": f"invalid url {path.decode(errors='replace')}"}

    def flush(self) -> None:
        """Writes what has come since the last time."""
        if self._pending:
            self._file.write(b"".join(self._pending))
            self._pending.clear()

    def _note(self, lane: Lane, monotonic: int, wall: int) -> float:
        delay = self._draw(time.monotonic() - self._started)
        self._pending.append(pack(monotonic, wall, round(delay * 1e9), lane))
        self._calls[lane] += 1
        return delay

    def _quota(self, body: bytes) -> dict[str, Any]:
        try:
            asked = json.loads(body)["cgi_path"]
        except (ValueError, KeyError, TypeError):
            return {"errcode": 47001, "errmsg": "data format error"}
        lane: Lane = "media" if asked == MEDIA_PATH.decode() else "text"
        a_day, a_minute = (200_000, 2_000) if lane == "media" else (2_000_000, 4_000)
        used = self._calls[lane]
        return {
            "errcode": 0,
            "errmsg": "ok",
            "quota": {"daily_limit": a_day, "used": used, "remain": a_day - used},
            "rate_limit": {"call_count": a_minute, "refresh_second": 60},
        }


class Connection(asyncio.Protocol):
    """One kept-alive connection. An answer goes out in its time, even where the worker has gone by then."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a TCP server it is one
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > _LARGEST:
            self._transport.abort()
            return
        while (request := self._next_request()) is not None:
            delay, answer = self._recorder.answer(*request)
            asyncio.get_running_loop().call_later(delay, self._send, json.dumps(answer).encode())

    def _next_request(self) -> tuple[bytes, bytes] | None:
        """Path and body of a request that is there in full."""
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return None
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length":
                length = int(value)
        if len(rest) < length:
            return None
        self._received = rest[length:]
        target = head.split(b" ", 2)[1]
        return target.partition(b"?")[0], rest[:length]

    def _send(self, body: bytes) -> None:
        if not self._transport.is_closing():
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            self._transport.write(head.encode() + body)


async def serve(host: str, port: int, recorder: Recorder) -> None:
    """Serves until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    server = await loop.create_server(lambda: Connection(recorder), host, port, backlog=512)
    print(f"recording at http://{host}:{port}", flush=True)
    while not ended.is_set():
        recorder.flush()
        try:
            await asyncio.wait_for(ended.wait(), FLUSH)
        except TimeoutError:
            continue
    server.close()
    recorder.flush()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.quota.recorder", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", choices=MODELS, default="calm", help="how long answers take")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--file", type=Path, required=True, help="where calls are noted")
    given = parser.parse_args()
    draw = latency(given.model, given.seed)
    recorder = Recorder(given.file, draw, random.Random(given.seed))  # noqa: S311 - to be repeatable is the point
    asyncio.run(serve(given.host, given.port, recorder))


if __name__ == "__main__":
    main()
