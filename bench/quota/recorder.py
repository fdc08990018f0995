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

from bench.platform import MEDIA_PATH, TEXT_PATH, HttpConnection, answer_beside
from bench.quota.arrivals import pack
from bench.quota.latency import MODELS, Draw, latency
from config.lanes import Lane

#: seconds between two writes to the file
FLUSH = 1.0


class Recorder:
    """Notes calls in memory, and writes them to ``path`` once a second."""

    def __init__(self, path: Path, draw: Draw, chance: random.Random) -> None:
        self._draw = draw
        self._chance = chance
        self._started = time.monotonic()
        self._pending: list[bytes] = []
        self._calls: dict[str, int] = {"text": 0, "media": 0}
        self._file = path.open("ab", buffering=0)

    def answer(self, path: bytes, body: bytes) -> tuple[float, dict[str, Any]]:
        """The seconds to wait, and the answer. A check is noted as arrived now."""
        monotonic, wall = time.monotonic_ns(), time.time_ns()
        if path == TEXT_PATH:
            return self._note("text", monotonic, wall), {"errcode": 0, "errmsg": "ok"}
        if path == MEDIA_PATH:
            trace_id = f"{self._chance.getrandbits(128):032x}"
            return self._note("media", monotonic, wall), {"errcode": 0, "errmsg": "ok", "trace_id": trace_id}
        return 0.0, answer_beside(path, body, self._calls)

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


class Connection(HttpConnection):
    """An answer goes out in its time, even where the worker has gone by then."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def request(self, path: bytes, body: bytes) -> None:
        delay, answer = self._recorder.answer(path, body)
        asyncio.get_running_loop().call_later(delay, self.send, json.dumps(answer).encode())


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
