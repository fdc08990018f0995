"""``latency``: from a push that the endpoint has read to the start of its follow-up, p50 and p99.

A worker for each queue, as in ``docker-compose.yml``, an endpoint, an application's worker; checks that are parked are
pushed one at a time. By the clock of this machine: wxcheck's starts when the endpoint has the whole request, that of
the peer, three hops of bare tasks (receive, finish, follow-up), when ``send_task`` is called; both end when the
follow-up's code runs.

*idle*: nothing else is to do, both sides in turn; ratio to the peer. Then a backlog in both lanes, each beside the idle
figure of its own system: *at the platform's quotas*, which is why checks wait, and *quotas lifted*, where every process
is busy and the backlog alone brings several times the pushes of an appId: there two workers finish them. p50 of both
sides idle by rounds; whatever is p99, and what is busy, over all pushes.
"""

from __future__ import annotations

import random
import time
from contextlib import ExitStack

import requests
from celery import Celery

from bench.overhead import checks, names
from bench.overhead.clones import Template
from bench.overhead.outcome import Measured, Row, at_most, percentile
from bench.overhead.pushes import message, request
from bench.overhead.scale import Scale
from bench.overhead.side import EACH, LIFTED, Options, Side
from bench.servers import RunFailed
from config.names import PUSH_QUEUE
from ops.local.redis_server import HOST
from store.places.shard import SHARD

PEER = "three bare hops"
PARKED = SHARD.key("parked")
#: seconds in which a follow-up has to start
_LONGEST = 60.0
#: seconds that a system has to come to its steady state once a backlog is there
SETTLE = 10.0
#: seconds from an answer to the push of a check of the backlog, the least and the most: as long as it was seen to take,
#: so that what a worker sends in one go does not come back in one go
BACKLOG_PUSHED_AFTER = (0.5, 6.0)


def run(scale: Scale, options: Options) -> Measured:
    """Idle on both sides in turn, then busy; and the same with quotas lifted."""
    seconds: dict[str, list[float]] = {}
    rows: list[Row] = []
    count = scale.probes * scale.rounds
    with ExitStack() as stack:
        ours = stack.enter_context(_ours(options, {}, EACH["wxcheck"]))
        bare = stack.enter_context(Side("bare", options, workers=[names.PUSH_QUEUE], application=True))
        with Probes(ours, 2 * count + scale.probes) as probes, BareProbes(bare) as bare_probes:
            probes.run(scale.probes)
            bare_probes.run(scale.probes)
            rounds = [(probes.run(scale.probes), bare_probes.run(scale.probes)) for _ in range(scale.rounds)]
            rows += _idle(rounds)
            idle = [second for mine, _ in rounds for second in mine]
            seconds |= {"idle": idle, "three bare hops": [second for _, other in rounds for second in other]}
            limited = _busy(ours, probes, scale.backlog, count)
    rows += _beside("at the platform's quotas", limited, idle, scale.backlog)
    workers = [*EACH["wxcheck"], PUSH_QUEUE]
    with _ours(options, LIFTED, workers) as ours, Probes(ours, 2 * count + scale.probes) as probes:
        probes.run(scale.probes)
        idle = probes.run(count)
        busy = _busy(ours, probes, scale.backlog, count)
    rows += _beside("quotas lifted, all busy", busy, idle, scale.backlog)
    seconds |= {"backlog, at the platform's quotas": limited, "backlog, quotas lifted": busy}
    return Measured(rows, {"seconds": seconds, "backlog": scale.backlog})


class Probes:
    """Parked checks of wxcheck to be pushed one at a time; a context that leaves nothing behind of its own."""

    def __init__(self, side: Side, count: int) -> None:
        self._side = side
        self._next = side.counts()["media"]
        self._session = requests.Session()
        self._session.trust_env = False
        side.tell_platform("set", push_after=None)
        before = side.redis.zcard(PARKED)
        side.put(side.media, count)
        side.await_count("parked checks", lambda: int(side.redis.zcard(PARKED) - before), count, 180)

    def __enter__(self) -> Probes:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def run(self, count: int) -> list[float]:
        """Seconds of each push."""
        return [self._one() for _ in range(count)]

    def _one(self) -> float:
        number, self._next = self._next, self._next + 1
        head, _, body = request(number, sealed=True).partition(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode()
        answer = self._session.post(
            f"http://{HOST}:{self._side.endpoint_port}{path}",
            data=body,
            headers={"Content-Type": "application/json"},
            timeout=_LONGEST,
        )
        answer.raise_for_status()
        ended = await_end(self._side, number)
        read = next(note.at for note in reversed(self._side.reads.fresh()) if note.number == number)
        pause()
        return ended - read


class BareProbes:
    """The peer's three hops, one after the other."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._app = Celery("bench-client", broker=side.url, backend=side.url, set_as_current=False)
        self._number = 0

    def __enter__(self) -> BareProbes:
        return self

    def __exit__(self, *_: object) -> None:
        self._app.close()

    def run(self, count: int) -> list[float]:
        """Seconds of each."""
        return [self._one() for _ in range(count)]

    def _one(self) -> float:
        self._number += 1
        began = time.time()
        kwargs = {"push": message(self._number), "received_at": began}
        self._app.send_task(
            names.RECEIVE,
            kwargs=kwargs,
            queue=names.PUSH_QUEUE,
            ignore_result=True,
            argsrepr="(…)",
            kwargsrepr="{…}",
        )
        ended = await_end(self._side, self._number)
        pause()
        return ended - began


def await_end(side: Side, number: int) -> float:
    """When the follow-up of a check started.

    Raises:
        RunFailed: it did not.
    """
    deadline = time.monotonic() + _LONGEST
    while time.monotonic() < deadline:
        for note in side.ends.fresh():
            if note.number == number:
                return note.at
        time.sleep(0.002)
    side.check()
    raise RunFailed(f"{side.kind}: no follow-up of check {number} within {_LONGEST:.0f} s")


def pause() -> None:
    """Pushes come at no even time."""
    time.sleep(random.uniform(0.03, 0.1))  # noqa: S311


def _ours(options: Options, settings: dict[str, str], workers: list[str]) -> Side:
    return Side(
        "wxcheck",
        options,
        workers=workers,
        endpoint=True,
        application=True,
        noted=True,
        settings={**settings, "WXCHECK_PUSH_TIMEOUT": "86400"},
    )


def _busy(side: Side, probes: Probes, backlog: int, count: int) -> list[float]:
    """Seconds of each push while ``backlog`` checks wait in both lanes; those that are sent are pushed as well, but
    nothing follows them: the application's worker is as it was when idle."""
    side.tell_platform("set", push_after=BACKLOG_PUSHED_AFTER)
    lanes = [side.text, checks.media_alone(side.url)]
    for lane in lanes:
        side.put(lane, backlog)
    time.sleep(SETTLE)
    found: list[float] = []
    while len(found) < count:
        found += probes.run(min(10, count - len(found)))
        for lane in lanes:
            _top_up(side, lane, backlog)
    return found


def _top_up(side: Side, lane: Template, backlog: int) -> None:
    missing = backlog - side.waiting(lane)
    if missing > backlog / 10:
        side.put(lane, missing)


def _idle(rounds: list[tuple[list[float], list[float]]]) -> list[Row]:
    mine, others = ([second * 1000 for pair in rounds for second in pair[side]] for side in (0, 1))
    mine_by_round, others_by_round = ([percentile(pair[side], 0.5) * 1000 for pair in rounds] for side in (0, 1))
    tail, others_tail = [percentile(mine, 0.99)], [percentile(others, 0.99)]
    title = "push read to follow-up, idle"
    return [
        Row("latency", f"{title}, p50", "ms", mine_by_round, others_by_round, PEER, at_most(1.5)),
        Row("latency", f"{title}, p99", "ms", tail, others_tail, PEER, at_most(1.5)),
    ]


def _beside(what: str, busy: list[float], idle: list[float], backlog: int) -> list[Row]:
    return [
        Row(
            "latency",
            f"the same beside 2 × {backlog:,} waiting, {what}, {name}",
            "ms",
            [percentile(busy, share) * 1000],
            [percentile(idle, share) * 1000],
            "idle",
            at_most(2),
        )
        for name, share in (("p50", 0.5), ("p99", 0.99))
    ]
