"""A world in which only the test lets time pass: a Redis whose clock and ``run_id`` are the test's, and processes.

The quota's own scripts run on a real Redis; they read its clock and its ``run_id`` from keys of the test, and each
simulated process has a monotonic clock of its own.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import os
import uuid
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import redis

from config.lanes import Lane
from config.settings import MiniProgram
from ops.local.processes import Processes
from ops.local.redis_server import embedded_redis
from store.places.closings import Closings
from store.places.forms import Ended, Held, Message, Settled
from store.places.open_lanes import OpenLanes
from store.places.places import Places
from store.places.shard import Shard
from store.places.vouching import vouch
from store.quota.clock import Watch
from store.quota.permit import Permit
from store.quota.permits import BACKFILL_PRIORITY, LOOK_AHEAD, START, WINDOW
from store.scripts import source, whole
from tests.support.ports import free_port
from wechat.answers import Answer
from wechat.errcodes import Meaning
from wxcheck import CheckRefused

APPID = "wx1"
SHARD = Shard("wxcheck", 0)
#: the broker's messages that are taken and not filed yet, and their index
INBOX = ("wxcheck:unacked", "wxcheck:unacked_index")
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


def quota_key(lane: Lane = "text", appid: str = APPID) -> str:
    """The hash of a lane's permits."""
    return SHARD.of_lane(lane, appid)[1]


def ring_key(lane: Lane = "text", appid: str = APPID) -> str:
    return SHARD.of_lane(lane, appid)[2]


def known_key() -> str:
    """The lanes that this Redis has seen."""
    return SHARD.key("known")


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
        #: takes that have begun, one while another is on its way
        self.takes_under_way = 0
        #: what Redis goes by: its clock, and its run
        self._told: dict[Any, Any] = {}
        self._later: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr("store.scripts.source", virtual_source)
        virtual = SimpleNamespace(monotonic=self._monotonic, time=lambda: self.wall / SECOND)
        for module in (
            "store.places.places",
            "store.places.open_lanes",
            "store.places.closings",
            "store.places.vouching",
        ):
            self._patch.setattr(f"{module}.time", virtual)
        self._patch.setattr("store.quota.clock.ours", self._monotonic)
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
                process.places.keep_time()
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
        told: dict[Any, Any] = {"s": seconds, "us": microseconds, "run": f"{self.run:040x}"}
        if told != self._told:
            self.redis.hset("test:redis", mapping=told)
            self._told = told

    def process(self, **options: Any) -> Process:
        return Process(self, **options)

    def vouch(self, appid: str = APPID) -> None:
        self.tell_redis()
        vouch(VirtualRun(self), appid)  # type: ignore[arg-type]

    def lose_state(self) -> None:
        self.redis.flushdb()
        self._told = {}
        self.tell_redis()

    def state(self, field_name: str, lane: Lane = "text") -> int:
        return int(self.redis.hget(quota_key(lane), field_name) or 0)


class VirtualRun:
    """A client of a Redis that is the run which the test says."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world.redis, name)

    def eval(self, _script: str, _number_of_keys: int) -> str:
        """The answer to :func:`store.connection.run_id`."""
        return f"{self._world.run:040x}"


class NoPermit(Exception):
    """No call of a lane now: a permit comes in ``seconds``."""

    def __init__(self, seconds: float, why: str) -> None:
        super().__init__(seconds, why)
        self.seconds = seconds
        self.why = why


class Said(NamedTuple):
    """What a take has said of a lane."""

    #: what the caller has told of the lane
    told: dict[str, Any]
    #: permits that were to be settled
    settled: list[str]
    #: verb, wait, now, epoch, day, used, detail, clock
    reply: list[Any]
    #: times from ``now`` to the send times of the permits that it has given, in microseconds
    ahead: list[int]


class Client:
    """Redis as a process reaches it: late, and not always."""

    def __init__(self, world: World) -> None:
        self.world = world
        #: whether it can't read Redis' clock
        self.away = False
        #: microseconds that a take is on its way to Redis, and its reply on the way back
        self.out = self.back = 0
        #: what happens while the next take of a lane is on its way
        self.meanwhile: Callable[[], None] | None = None
        #: the connection breaks at the next take of a lane: before or after Redis has seen it
        self.breaks: str | None = None
        #: what happens before the next call of a script, by its name
        self.before: dict[str, Callable[[], None]] = {}
        #: number of calls of scripts
        self.calls = 0
        self.said: list[Said] = []
        self.on_reply: Callable[[Said], None] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.world.redis, name)

    def time(self) -> tuple[int, int]:
        """As Redis does."""
        if self.away:
            raise redis.ConnectionError("refused")
        return divmod(self.world.wall, SECOND)

    def register_script(self, text: str) -> Callable[..., Any]:
        """As Redis does; what the takes say of lanes is noted."""
        call = self.world.redis.register_script(text)
        is_take = text == whole("store/places/take")

        def run(keys: list[str], args: list[Any]) -> Any:
            for name in [name for name in self.before if text == whole(f"store/places/{name}")]:
                self.before.pop(name)()
            self.calls += 1
            if is_take:
                return self._take(call, keys, args)
            self.world.tell_redis()
            return call(keys=keys, args=args)

        return run

    def _take(self, call: Callable[..., Any], keys: list[str], args: list[Any]) -> Any:
        world, acting = self.world, self.world.acting
        lanes = json.loads(args[0])["lanes"]
        meanwhile = breaks = None
        if lanes:
            meanwhile, self.meanwhile = self.meanwhile, None
            breaks, self.breaks = self.breaks, None
        world.pass_time(self.out)
        if meanwhile:
            meanwhile()
        world.acting = acting
        if breaks == "before":
            raise redis.ConnectionError("reset on the way there")
        world.tell_redis()
        lists = [SHARD.of_lane(lane["kind"], lane["appid"])[3] for lane in lanes]
        settled = [[str(permit) for permit in world.redis.lrange(one, 0, -1)] for one in lists]
        reply = call(keys=keys, args=args)
        self._note(lanes, settled, reply)
        if breaks == "after":
            raise redis.ConnectionError("reset on the way back")
        world.pass_time(self.back)
        world.acting = acting
        return reply

    def _note(self, lanes: list[dict[str, Any]], settled: list[list[str]], reply: list[Any]) -> None:
        checks = [json.loads(text) for *_, text in reply[1:]]
        names = [(lane["kind"], lane["appid"]) for lane in lanes]
        for kind, appid, verb, *numbers in json.loads(reply[0])["lanes"]:
            number = names.index((kind, appid))
            told = [int(value) if at != 5 else value for at, value in enumerate(numbers)]
            of_lane = [check for check in checks if (check["kind"], check["appid"]) == (kind, appid)]
            ahead = [int(check["permit"]["ahead"]) for check in of_lane if "permit" in check]
            said = Said(lanes[number], settled[number], [verb, *told], ahead)
            self.said = [*self.said[-3:], said]
            if self.on_reply:
                self.on_reply(said)


class Process:
    """A worker process, which takes checks and deals with them as a run does."""

    def __init__(
        self,
        world: World,
        program: MiniProgram | None = None,
        *,
        offset: int = 0,
        call_timeout: float = 10,
        token_lease: float | None = None,
    ) -> None:
        self.world = world
        self.program = program or mini_program()
        self.offset = offset
        self._call_timeout = call_timeout
        #: overrides of the program's rate: calls a minute, version
        self.rate: tuple[int, int] | None = None
        self.alive = True
        self.redis = Client(world)
        #: the checks in hand
        self._held: dict[Permit, Held] = {}
        world.processes.append(self)
        client: Any = self.redis
        self.places = Places(client, SHARD, Watch(), call_timeout, token_lease, INBOX)
        rates: Any = self
        self.lanes = OpenLanes(self.places, {self.program.appid: self.program}, rates, call_timeout + START)
        self.closings = Closings(client, SHARD)

    @property
    def pause(self) -> float:
        """Seconds for which a lane sends nothing after its calls are forgotten."""
        return WINDOW + LOOK_AHEAD + START + self._call_timeout

    def clock(self, true: int) -> float:
        return (true + self.offset) / SECOND

    def true(self, clock: float) -> int:
        return round(clock * SECOND) - self.offset

    def of(self, program: MiniProgram, _lane: str) -> tuple[int, int, int]:
        """As Rates does."""
        per_minute, version = self.rate or (program.text_per_minute, 0)
        return per_minute, program.text_per_day, version

    def take(self, *, low: bool = False, lane: Lane = "text") -> Permit:
        """The permit of a check that comes now, and waits for none.

        Raises:
            NoPermit: there is none yet.
            CheckRefused: the platform refuses the appId.
        """
        (permit,) = self.takes(1, low=low, lane=lane)
        return permit

    def takes(self, checks: int, *, low: bool = False, lane: Lane = "text") -> list[Permit]:
        """Permits of so many checks that come now, as far as there are any; they wait for none."""
        self.world.acting = self
        ids = [uuid.uuid4().hex for _ in range(checks)]
        priority = BACKFILL_PRIORITY if low else 3
        waiting = [Message(one, one, lane, self.program.appid, priority, one[:8]) for one in ids]
        self.world.tell_redis()
        assert self.places.file(waiting) == ["filed"] * checks
        self.world.takes_under_way += 1
        try:
            return self._permits(checks, lane)
        finally:
            self.world.takes_under_way -= 1
            if not self.world.takes_under_way:
                self._withdraw(lane)

    def _permits(self, room: int, lane: Lane) -> list[Permit]:
        self.redis.said = []
        permits: list[Permit] = []
        while len(permits) < room:
            held, seconds, _ = self.lanes.take({lane: room - len(permits)}, [lane])
            for one in held:
                if one.refusal is not None:
                    raise CheckRefused(*json.loads(one.refusal))
                if one.is_first:
                    self.lanes.found_out(lane, one.appid, self.world.count())
                    self.places.give_back(one)
                    continue
                assert one.permit is not None
                self._held[one.permit] = one
                permits.append(one.permit)
                if self.lanes.asks_for_count(lane, one.appid) and (used := self.world.count()) is not None:
                    self.lanes.counted(lane, one.appid, used)
            if not any(one.is_first for one in held):
                break
        if not permits and not self.redis.said:
            # another process has taken what waited, or was told meanwhile that the lane is not open
            raise NoPermit(seconds or 0.0, "others")
        if not permits:
            verb, wait, *told = self.redis.said[-1].reply
            assert verb == "wait"
            raise NoPermit(wait / SECOND, told[4])
        return permits

    def _withdraw(self, lane: Lane) -> None:
        """Has the checks that wait in the lane not have come."""
        client, waiting = self.world.redis, SHARD.of_lane(lane, self.program.appid)[0]
        if ids := client.zrange(waiting, 0, -1):
            client.hdel(SHARD.key("checks"), *ids)
            client.hdel(SHARD.key("messages"), *ids)
            client.delete(waiting)

    def left(self) -> float:
        """Seconds until there is a permit; if there is one, it is taken."""
        try:
            self.take()
        except NoPermit as none:
            return none.seconds
        return 0.0

    def snoozed(self, *, low: bool = False) -> NoPermit:
        """What a take ends with that gets no permit."""
        with pytest.raises(NoPermit) as none:
            self.take(low=low)
        return none.value

    def answered(self, permit: Permit) -> None:
        self._settle(permit, was_sent=True)

    def unused(self, permit: Permit) -> None:
        self._settle(permit, was_sent=False)

    def _settle(self, permit: Permit, *, was_sent: bool) -> None:
        self.world.acting = self
        held = self._held[permit]
        assert self.places.finish(held, Ended("done"), Settled(permit, was_sent)) in ("ended", "lost")

    def counted_today(self, told: int = -1) -> int:
        self.world.tell_redis()
        return self.closings.counted_today(self.program.appid, "text", told)

    def close(self, what: Meaning) -> None:
        self.world.acting = self
        self.world.tell_redis()
        self.closings.close(self.program.appid, "text", what, Answer(45011, "", {}))

    def stop(self, answer: Answer) -> CheckRefused:
        """Has the platform refuse the appId."""
        self.world.tell_redis()
        return self.closings.stop(self.program.appid, answer)
