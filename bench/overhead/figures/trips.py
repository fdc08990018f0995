"""``trips``: the commands that Redis gets for one check, path by path, from ``MONITOR``; one check at a time.

What clients send is counted, not what scripts do within; what the processes send when nothing is to do is taken out,
by its rate. *push* is one that belongs to no parked check: queued, received and put by; *finish* is what one that does
belong to one costs beyond that, until its follow-up is on the application's queue. The application's own commands are
not counted, nor is the message of the check, which its sender pushes.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import requests
from redis import Redis
from redis.client import Monitor

from bench.machine import ports_of
from bench.overhead import names
from bench.overhead.outcome import Measured, Row
from bench.overhead.pushes import request
from bench.overhead.scale import Scale
from bench.overhead.side import LIFTED, Kind, Options, Side
from bench.redis_load import connect
from bench.servers import RunFailed
from config.names import PUSH_QUEUE
from ops.local.redis_server import HOST
from store.places.shard import SHARD

#: seconds for which the processes are watched while nothing is to do
IDLE = 10.0
#: number of a push that belongs to no check
_NOBODY = 50_000_000
_END, _MARK = "bench:monitor-ends", "bench:monitor-mark"
#: seconds in which the monitor reads what was sent
_READ = 120.0

PATHS = ("check text", "check media", "push", "finish", "sweep")


def run(scale: Scale, options: Options) -> Measured:
    """Each side by itself."""
    found = {kind: _paths(kind, scale, options) for kind in _KINDS}
    rows = []
    for path in PATHS:
        bare = found["bare"].get(path)
        other: tuple[list[float], str] = ([bare], "bare") if bare is not None else ([], "")
        rows.append(Row("trips", f"commands of Redis' clients: {path}", "", [found["wxcheck"][path]], *other))
    return Measured(rows, dict(found.items()))


_KINDS: tuple[Kind, ...] = ("wxcheck", "bare")


def _paths(kind: Kind, scale: Scale, options: Options) -> dict[str, float]:
    with ExitStack() as stack:
        side = stack.enter_context(
            Side(kind, options, endpoint=True, settings={**LIFTED, "WXCHECK_PUSH_TIMEOUT": "86400"})
        )
        session = stack.enter_context(requests.Session())
        session.trust_env = False
        count = scale.trips
        queue = PUSH_QUEUE if kind == "wxcheck" else names.PUSH_QUEUE

        def text(_: int) -> None:
            done = side.counts()["text"]
            side.put(side.text, 1)
            side.await_count("texts", lambda: side.counts()["text"] - done, 1, 10)

        def media(_: int) -> None:
            done = side.counts()["media"]
            side.put(side.media, 1)
            side.await_count("pictures", lambda: side.counts()["media"] - done, 1, 10)
            if kind == "wxcheck":
                side.wait("parked", lambda: side.redis.zcard(SHARD.key("parked")) > 0)

        def push(number: int, *, alone: bool = True) -> None:
            made = request(_NOBODY + number if alone else number, sealed=kind == "wxcheck", alone=alone)
            head, _, body = made.partition(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode()
            session.post(f"http://{HOST}:{side.endpoint_port}{path}", data=body, timeout=10).raise_for_status()
            side.wait("the push is taken", lambda: side.redis.llen(queue) == 0)

        def finish(number: int) -> None:
            before = side.redis.llen(names.FOLLOW_QUEUE)
            push(number, alone=False)
            side.wait("the follow-up is queued", lambda: side.redis.llen(names.FOLLOW_QUEUE) > before)

        for step in (text, media, push):
            step(-1)
        side.await_quiet()
        watch = stack.enter_context(Watch(side))
        time.sleep(IDLE)
        idle = sum(watch.fresh().values()) / IDLE

        def counted(step: Callable[[int], None]) -> float:
            watch.fresh()
            began = time.monotonic()
            for number in range(count):
                step(number)
                side.await_quiet()
            seconds = time.monotonic() - began
            return (sum(watch.fresh().values()) - idle * seconds) / count

        paths = {"check text": counted(text), "check media": counted(media), "push": counted(push)}
        paths["finish"] = counted(finish) - paths["push"]
        if kind == "wxcheck":
            began = time.monotonic()
            watch.fresh()
            # the probe's first sweeps, which load what they need, are few
            side.call([sys.executable, "-m", "bench.overhead.sweep_probe", str(5 * count)])
            paths["sweep"] = (sum(watch.fresh().values()) - idle * (time.monotonic() - began)) / (5 * count)
        return paths


class Watch:
    """Counts the commands of all clients but the bench's own, as a context; a script counts by its hash.

    ``of``: the processes whose clients count, unless all do.
    """

    def __init__(self, side: Side, of: Sequence[str] = ()) -> None:
        self._side = side
        self._of = of
        self._own = side.redis
        self._url = side.url
        self._seen: Counter[str] = Counter()
        self._known: dict[str, bool] = {}
        self._ended = threading.Event()
        self._reached = threading.Event()

    def __enter__(self) -> Watch:
        self._client: Redis = connect(self._url)
        self._ignored = str(self._own.client_info()["addr"])
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="monitor", daemon=True)
        self._thread.start()
        ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._own.get(_END)
        self._thread.join(10)
        self._client.close()

    def fresh(self) -> Counter[str]:
        """What was sent since the last time, by the command's name.

        Raises:
            RunFailed: the monitor has not come so far.
        """
        time.sleep(0.2)  # the last ones are on their way
        self._reached.clear()
        self._own.get(_MARK)
        if not self._reached.wait(_READ):
            raise RunFailed(f"monitor: it has not read all within {_READ:.0f} s")
        found, self._seen = self._seen, Counter()
        return found

    def _run(self, ready: threading.Event) -> None:
        with Monitor(self._client.connection_pool) as monitor:
            ready.set()
            for told in monitor.listen():
                if self._ended.is_set():
                    return
                if told["command"] == f"GET {_MARK}":
                    self._reached.set()
                address = f"{told['client_address']}:{told['client_port']}"
                if told["client_type"] == "tcp" and address != self._ignored:
                    words = str(told["command"]).split(" ", 2)
                    name = words[1] if words[0].upper() == "EVALSHA" else words[0].upper()
                    if self._counts(told["client_port"]):
                        self._seen[name] += 1

    def _counts(self, port: str) -> bool:
        """True if a client counts; who it belongs to is looked up once."""
        if not self._of:
            return True
        if port not in self._known:
            self._known[port] = any(int(port) in ports_of(self._side.pid(name)) for name in self._of)
        return self._known[port]
