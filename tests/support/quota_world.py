"""A world in which only the test lets time pass: a Redis whose clock and ``run_id`` are the test's, and processes.

The quota's own scripts run on a real Redis; they read its clock and its ``run_id`` from keys of the test, and each
simulated process has a monotonic clock of its own.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import uuid
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import redis

from config.settings import MiniProgram
from ops.local.processes import Processes
from ops.local.redis_server import embedded_redis
from store import keys
from store.connection import vouch
from store.outbox.outbox import Run
from store.quota.permit import Permit, Snooze
from store.quota.permits import Quota
from store.scripts import source
from tests.support.ports import free_port
from wechat.answers import Answer
from wechat.errcodes import Meaning

APPID = "wx1"
SECOND = 1_000_000
#: 2026-01-01 00:00 in Shanghai, in microseconds since the epoch
MIDNIGHT = 1_767_196_800 * SECOND
DAY = 86_400 * SECOND


@contextlib.contextmanager
def embedded() -> Iterator[redis.Redis]:
    """A client of a Redis of one's own."""
    with Processes(os.environ) as processes:
        server = embedded_redis(free_port(), processes.directory)
        processes.start("redis", server.command, environment={}, cwd=processes.directory)
        processes.wait_until("redis", server.answers, 20)
        with redis.Redis.from_url(server.url, decode_responses=True) as client:
            yield client


def virtual_source(name: str) -> str:
    """A script that reads Redis' clock, and which Redis it is, from keys of the test."""
    text = source(name)
    text = text.replace("redis.call('TIME')", "redis.call('HMGET', 'test:redis', 's', 'us')")
    return text.replace("redis.call('INFO', 'server')", "('run_id:' .. redis.call('HGET', 'test:redis', 'run'))")


def mini_program(n: int = 10, per_day: int = 1_000_000, day_reserve: float = 0.0, appid: str = APPID) -> MiniProgram:
    return MiniProgram(
        appid=appid,
        push_plain_allowed=False,
        text_per_minute=n,
        text_per_day=per_day,
        media_per_minute=n,
        media_per_day=per_day,
        day_reserve=day_reserve,
    )


class World:
    """True time, Redis with its clock, and processes with theirs. All times are integers, in microseconds."""

    def __init__(self, client: redis.Redis, now: int = MIDNIGHT - DAY // 2) -> None:
        self.redis = client
        client.flushdb()
        self.now = now
        #: what Redis' clock is ahead of true time, and by how much it gains, in millionths
        self.ahead = 0
        self.gain = 0
        self.run = 1
        self.acting: Process | None = None
        #: what the platform counts for the day, and how often it was asked
        self.counted: int | None = None
        self.asked = 0
        self.processes: list[Process] = []
        self._later: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr("store.scripts.source", virtual_source)
        virtual = SimpleNamespace(monotonic=self._monotonic, time=lambda: self.wall / SECOND)
        self._patch.setattr("store.quota.permits.time", virtual)
        self._patch.setattr("store.quota.clock.ours", self._monotonic)
        self._patch.setattr("store.connection.time", virtual)
        self.tell_redis()

    def close(self) -> None:
        self._patch.undo()

    @property
    def wall(self) -> int:
        """Redis' clock."""
        return self.now + self.ahead

    def _monotonic(self) -> float:
        assert self.acting is not None
        return self.acting.clock(self.now)

    def pass_time(self, microseconds: float) -> None:
        """Lets time pass, and happen what was to happen meanwhile."""
        until = self.now + int(microseconds)
        while self._later and self._later[0][0] <= until:
            at, _, act = heapq.heappop(self._later)
            self._move(at)
            act()
        self._move(until)

    def _move(self, to: int) -> None:
        """Processes read Redis' clock once a second meanwhile, each at a time of its own."""
        to = max(to, self.now)
        while self.now < to:
            step = min(to - self.now, SECOND // 4 - self.now % (SECOND // 4))
            self.ahead += step * self.gain // 1_000_000
            self.now += step
            quarter, rest = divmod(self.now % SECOND, SECOND // 4)
            if rest == 0:
                self.read_clock(quarter)

    def read_clock(self, turn: int | None = None) -> None:
        """Each process that lives reads Redis' clock, or those whose ``turn`` of four it is."""
        acting = self.acting
        for number, process in enumerate(self.processes):
            if process.alive and turn in (None, number % 4):
                self.acting = process
                process.quota.keep_time()
        self.acting = acting

    def later(self, at: int, act: Callable[[], None]) -> None:
        heapq.heappush(self._later, (max(at, self.now), next(self._order), act))

    @property
    def last_event(self) -> int:
        return max((at for at, _, _ in self._later), default=self.now)

    def count(self) -> int | None:
        """The platform's count of the day."""
        self.asked += 1
        return self.counted

    def tell_redis(self) -> None:
        seconds, microseconds = divmod(self.wall, SECOND)
        self.redis.hset("test:redis", mapping={"s": seconds, "us": microseconds, "run": f"{self.run:040x}"})

    def process(self, **options: Any) -> Process:
        return Process(self, **options)

    def vouch(self, appid: str = APPID) -> None:
        self.tell_redis()
        vouch(VirtualRun(self), appid)  # type: ignore[arg-type]

    def lose_state(self) -> None:
        self.redis.flushdb()
        self.tell_redis()

    def state(self, field_name: str, lane: str = "text") -> int:
        return int(self.redis.hget(keys.quota(APPID, lane), field_name) or 0)


class VirtualRun:
    """A client of a Redis that is the run which the test says."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world.redis, name)

    def eval(self, _script: str, _number_of_keys: int) -> str:
        """The answer to :func:`store.connection.run_id`."""
        return f"{self._world.run:040x}"


class Said(NamedTuple):
    """A reply of ``quota_take``, and what was asked."""

    want: str
    args: list[Any]
    reply: list[Any]


class Process:
    """A worker process: a Quota that reaches Redis late, and not always."""

    def __init__(
        self, world: World, program: MiniProgram | None = None, *, offset: int = 0, call_timeout: float = 10
    ) -> None:
        self.world = world
        self.program = program or mini_program()
        self.offset = offset
        #: overrides of the program's rate: calls a minute, version
        self.rate: tuple[int, int] | None = None
        self.alive = True
        #: whether it can't read Redis' clock
        self.away = False
        #: microseconds that a call is on its way to Redis, and its reply on the way back
        self.out = self.back = 0
        #: what happens while the next call is on its way
        self.meanwhile: Callable[[], None] | None = None
        #: the connection breaks at the next call: before or after Redis has seen it
        self.breaks: str | None = None
        self.said: list[Said] = []
        self.on_reply: Callable[[Said], None] | None = None
        world.processes.append(self)
        self.quota = Quota(self, self, call_timeout, lambda _appid, _lane: world.count())  # type: ignore[arg-type]

    def time(self) -> tuple[int, int]:
        """As Redis does."""
        if self.away:
            raise redis.ConnectionError("refused")
        return divmod(self.world.wall, SECOND)

    def clock(self, true: int) -> float:
        return (true + self.offset) / SECOND

    def true(self, clock: float) -> int:
        return round(clock * SECOND) - self.offset

    def of(self, program: MiniProgram, _lane: str) -> tuple[int, int, int]:
        """As Rates does."""
        per_minute, version = self.rate or (program.text_per_minute, 0)
        return per_minute, program.text_per_day, version

    def register_script(self, text: str) -> Callable[..., Any]:
        """As Redis does; the script's replies are noted."""
        call = self.world.redis.register_script(text)

        def later(keys: list[str], args: list[Any]) -> Any:
            world = self.world
            meanwhile, self.meanwhile = self.meanwhile, None
            world.pass_time(self.out)
            if meanwhile:
                meanwhile()
            world.acting = self
            breaks, self.breaks = self.breaks, None
            if breaks == "before":
                raise redis.ConnectionError("reset on the way there")
            world.tell_redis()
            reply = call(keys=keys, args=args)
            # a reservation says more before what it asks of the lane, and a token before what it gets
            asked, told = (args, reply) if args[0] == "look" else (args[5:], reply[1:] if len(args) > 5 else [])
            if asked and asked[0] in ("take", "look") and told:
                told = told if args[0] == "look" else told[0]
                said = Said(asked[0], asked, told)
                self.said = [*self.said[-3:], said]
                if self.on_reply:
                    self.on_reply(said)
            if breaks == "after":
                raise redis.ConnectionError("reset on the way back")
            world.pass_time(self.back)
            world.acting = self
            return reply

        return later

    def take(self, *, low: bool = False, lane: Any = "text") -> Permit:
        self.world.acting = self
        permit = self.quota.reserve(self.program, lane, Run(uuid.uuid4().hex), low=low).permit
        assert permit is not None
        return permit

    def look(self) -> Snooze | None:
        self.world.acting = self
        return self.quota.look(self.program, "text")

    def counted_today(self) -> int:
        self.world.acting = self
        return self.quota.counted_today(self.program, "text")

    def go_by(self, used: int) -> None:
        self.world.acting = self
        self.quota.go_by(self.program, "text", used)

    def snoozed(self, *, low: bool = False) -> Snooze:
        """The Snooze that a take ends with."""
        with pytest.raises(Snooze) as snooze:
            self.take(low=low)
        return snooze.value

    def answered(self, permit: Permit) -> None:
        self.world.acting = self
        self.quota.answered(permit)

    def unused(self, permit: Permit) -> None:
        self.world.acting = self
        self.quota.unused(permit)

    def close(self, what: Meaning) -> Snooze:
        self.world.acting = self
        return self.quota.close(APPID, "text", what, Answer(45011, "", {}))
