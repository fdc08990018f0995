"""The quota's Lua never lets more arrive at the platform than a plain model does, in a time that the test lets pass.

Tests: store.quota.permits, store.places.open_lanes

The scripts run on a real Redis; its clock and its ``run_id`` are read from keys of the test, and each simulated process
has a monotonic clock of its own. The model is a list of arrivals in true time.

``MODEL_EXAMPLES=500`` in the environment runs it for longer, with new examples each time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from store.quota.permit import Permit
from store.quota.permits import LOOK_AHEAD, WINDOW
from tests.support.quota_world import (
    DAY,
    MIDNIGHT,
    SECOND,
    NoPermit,
    Process,
    Said,
    World,
    embedded,
    known_key,
    mini_program,
    quota_key,
    ring_key,
)
from wechat.answers import Answer
from wechat.errcodes import Meaning
from wxcheck import CheckRefused

#: how many examples to try of each machine, in place of the few that are always the same
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "6"))
#: from so many on they are new ones each time
MANY = 100


class Arrival(NamedTuple):
    """A call at the platform."""

    at: int
    #: counts reservations
    serial: int
    #: the calls a minute that were in force when it was reserved
    n: int


class Reserved(NamedTuple):
    """A permit; number of the reservation, and the calls a minute that were in force."""

    permit: Permit
    at: tuple[int, int]


@dataclass
class Platform:
    """The plain model: what arrived, in true time."""

    arrivals: list[Arrival] = field(default_factory=list)
    by_day: dict[int, int] = field(default_factory=dict)
    checked: int = 0

    def arrive(self, arrival: Arrival) -> None:
        self.arrivals.append(arrival)
        day = (arrival.at - MIDNIGHT) // DAY
        self.by_day[day] = self.by_day.get(day, 0) + 1

    def check(self, tolerance: int) -> None:
        """In no window more calls than the rate at which the last of them was reserved."""
        for end in range(self.checked, len(self.arrivals)):
            newest = self.arrivals[end]
            for number, arrival in enumerate(reversed(self.arrivals[: end + 1]), start=1):
                if self.arrivals[end].at - arrival.at >= WINDOW * SECOND - tolerance:
                    break
                newest = max(newest, arrival, key=lambda one: one.serial)
                assert number <= newest.n, (
                    f"{number} calls in {(self.arrivals[end].at - arrival.at) / SECOND} s, {newest.n} allowed"
                )
        self.checked = len(self.arrivals)


INSTANT = st.sampled_from([0, 1, 20_000, 200_000])
#: shares of the time that there is: at its begin, at its end, in between
SHARE = st.sampled_from([0.0, 0.001, 0.05, 0.5, 0.95, 1.0])
FATE = st.sampled_from(["answered", "answered", "answered", "answered", "lost", "unused"])
#: what becomes of a call; when it is sent, arrives and is over
FATES = st.lists(st.tuples(FATE, SHARE, SHARE, SHARE), min_size=1, max_size=6)
WHO = st.integers(0, 3)
TROUBLES = [
    "die",
    "die",
    "one_more_process",
    "redis_restarts_with_its_state",
    "redis_restarts_without_state",
    "the_hash_is_lost",
    "the_ring_is_lost",
    "a_process_reads_the_rate",
    "a_process_reads_the_rate",
    "the_platform_refuses_a_call",
    "the_platform_refuses_the_appid",
    "a_process_looks",
    "a_process_looks",
]


class SteadyClock(RuleBasedStateMachine):
    """Redis' clock is right. Everything else goes wrong."""

    client: redis.Redis
    #: the same Redis, answering bytes
    raw: redis.Redis
    #: microseconds by which a window may be shorter than 60 s
    tolerance = 0
    #: whether Redis' clock is right
    steady = True

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.client)
        self.platform = Platform()
        self.processes: list[Process] = []
        self.serial = 0
        #: the rate that was set last, as an operator knows it
        self.rates: list[tuple[int, int]] = []
        self.forget_state()

    def forget_state(self) -> None:
        """All fields of the lane's hash are gone."""
        self.in_force = (0, -1)
        self.cut = self.cut_until = self.closed_until = 0
        self.day_used = (-1, 0)
        self.whole = False
        self.last_slot = 0

    @initialize(
        n=st.integers(1, 20),
        per_day=st.sampled_from([10**6, 10**6, 10**6, 10**6, 30]),
        before_midnight=st.sampled_from([DAY // 2, DAY // 2, 30 * SECOND, 90 * SECOND]),
        call_timeout=st.sampled_from([10.0, 3.0]),
        vouched=st.sampled_from([True, True, True, False]),
        reserve=st.sampled_from([0.0, 0.3]),
    )
    def begin(
        self, n: int, per_day: int, before_midnight: int, call_timeout: float, vouched: bool, reserve: float
    ) -> None:
        self.world.now = MIDNIGHT - before_midnight
        self.program = mini_program(n, per_day, reserve)
        self.call_timeout = call_timeout
        self.rates = [(n, 0)]
        self.lost_on: set[int] = set()
        self.processes = [self.new_process() for _ in range(2)]
        if vouched:
            self.world.vouch()

    # processes

    def new_process(self) -> Process:
        offset = (len(self.processes) * 7_919 - 12_345) * SECOND + self.serial
        process = self.world.process(program=self.program, offset=offset, call_timeout=self.call_timeout)
        process.rate = self.rates[-1]
        process.redis.on_reply = self.on_reply
        return process

    def who(self, number: int) -> Process:
        return self.processes[number % len(self.processes)]

    def on_reply(self, said: Said) -> None:
        """Keeps up the model, in the order in which Redis saw the calls."""
        if said.reply[0] == "absent" or said.reply[3] == 0:
            return  # the lane has no state
        n, version = said.told["n"], said.told["version"]
        _verb, _wait, now, _epoch, day, used, _, _clock = said.reply
        if version >= self.in_force[1]:
            if version > self.in_force[1]:
                self.last_slot = min(self.last_slot, now + int(LOOK_AHEAD * SECOND))
            self.in_force = (n, version)
        refunds = sum(1 for settled in said.settled if settled.split(":")[1] == "0")
        if day == self.day_used[0]:
            assert used >= self.day_used[1] - refunds
        assert day >= self.day_used[0]
        self.day_used = (day, used)
        self.whole = True
        n = self.in_force[0]
        if self.cut_until > self.world.wall:
            n = max(1, n - n * self.cut // 10)
        self.reserved = []
        for ahead in said.ahead:
            self.serial += 1
            self.reserved.append((self.serial, n))
            assert now + ahead >= self.last_slot, "a send time before the last one, or too near to it"
            self.last_slot = now + ahead + int(WINDOW * SECOND / (n * 1.5)) - 1

    def reserve(self, process: Process, low: bool, room: int = 1) -> list[Reserved] | NoPermit | None:
        try:
            permits = process.takes(room, low=low)
        except NoPermit as none:
            return none
        except (CheckRefused, redis.ConnectionError):
            return None
        return [Reserved(*one) for one in zip(permits, self.reserved, strict=True)]

    def send(self, process: Process, got: Reserved, fate: tuple[Any, ...]) -> None:
        permit, reserved = got
        what, begun, arrives, over = fate
        send_at, begin_by = process.true(permit.send_at), process.true(permit.begin_by)
        if send_at > begin_by or self.world.now > begin_by or what == "unused":
            # the process stood still, or found something to do first
            self.world.later(send_at + int(over * SECOND), lambda: self.settle(process, permit, sent=False))
            return
        sent = max(self.world.now, int(send_at + begun * (begin_by - send_at)))
        over_by = process.true(permit.over_by)
        end = int(sent + over * (over_by - sent))
        if what == "answered":
            self.world.later(end, lambda: self.settle(process, permit, sent=True))
        else:
            end = over_by
        arrival = Arrival(int(sent + arrives * (end - sent)), *reserved)
        self.world.later(arrival.at, lambda: self.platform.arrive(arrival))

    def send_one(self, process: Process, fate: tuple[Any, ...], *, low: bool = False) -> None:
        """Send a check if there is a permit."""
        got = self.reserve(process, low)
        if isinstance(got, list):
            self.send(process, got[0], fate)

    def settle(self, process: Process, permit: Permit, *, sent: bool) -> None:
        if process.alive:
            (process.answered if sent else process.unused)(permit)

    # rules

    def send_backlog(
        self,
        workers: list[Process],
        fates: list[tuple[Any, ...]],
        calls: int,
        seconds: int,
        low: bool = False,
        room: int = 1,
    ) -> None:
        """The processes send by turns from a backlog."""
        until = self.world.now + seconds * SECOND
        sent = 0
        while sent < calls:
            process = workers[sent % len(workers)]
            got = self.reserve(process, low, room)
            while isinstance(got, NoPermit) and self.world.now + got.seconds * SECOND < until:
                self.world.pass_time(got.seconds * SECOND + 1)
                got = self.reserve(process, low, room)
            if not isinstance(got, list):
                break
            for one in got:
                self.send(process, one, fates[sent % len(fates)])
                sent += 1

    @rule(
        who=WHO,
        fates=FATES,
        calls=st.integers(1, 40),
        low=st.booleans(),
        slow=INSTANT,
        room=st.sampled_from([1, 1, 5, 64]),
    )
    def work(self, who: int, fates: list[tuple[Any, ...]], calls: int, low: bool, slow: int, room: int) -> None:
        """A process sends from a backlog, for two minutes at most."""
        process = self.who(who)
        process.redis.out = process.redis.back = slow // 2
        self.send_backlog([process], fates, calls, 120, low, room)
        process.redis.out = process.redis.back = 0

    @rule(fates=FATES, minutes=st.integers(1, 4))
    def all_work(self, fates: list[tuple[Any, ...]], minutes: int) -> None:
        """Every process sends from a backlog."""
        self.send_backlog(self.processes, fates, 60, 60 * minutes)

    @rule(
        who=WHO,
        other=WHO,
        fate=st.tuples(FATE, SHARE, SHARE, SHARE),
        out=st.sampled_from([0, 15_000, 300_000, 900_000, 1_500_000, 5_000_000]),
        back=st.sampled_from([0, 15_000, 300_000, 1_500_000, 5_000_000]),
        between=st.integers(0, 3),
        low=st.booleans(),
    )
    def take_late(
        self, who: int, other: int, fate: tuple[Any, ...], out: int, back: int, between: int, low: bool
    ) -> None:
        """A call to Redis is late, and another process overtakes it."""
        process, overtaking = self.who(who), self.who(other)

        def overtake() -> None:
            for _ in range(between):
                self.send_one(overtaking, fate)

        process.redis.out, process.redis.back = out, back
        process.redis.meanwhile = overtake if overtaking is not process else None
        self.send_one(process, fate, low=low)
        process.redis.out = process.redis.back = 0

    @rule(who=WHO, fate=st.tuples(FATE, SHARE, SHARE, SHARE), breaks=st.sampled_from(["before", "after"]))
    def take_over_a_broken_connection(self, who: int, fate: tuple[Any, ...], breaks: str) -> None:
        process = self.who(who)
        process.redis.breaks = breaks
        self.send_one(process, fate)

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.5, 3, 10, 30, 58, 60, 61, 75, 200]))
    def rest(self, seconds: float) -> None:
        self.world.pass_time(seconds * SECOND)

    @rule(fates=FATES)
    def redis_restarts_with_an_old_state(self, fates: list[tuple[Any, ...]]) -> None:
        """Redis forgets the calls since its last save."""
        names = [quota_key(), ring_key(), known_key()]
        saved = {name: self.raw.dump(name) for name in names}
        model = (self.in_force, self.cut, self.cut_until, self.closed_until)
        self.all_work(fates, 1)
        self.redis_restarts_without_state(self.processes[0], 0)
        for name, dump in saved.items():
            if dump:
                self.raw.restore(name, 0, dump)
        self.in_force, self.cut, self.cut_until, self.closed_until = model
        self.all_work(fates, 2)

    @rule(who=WHO, n=st.integers(1, 20), fates=FATES)
    def the_rate_is_changed(self, who: int, n: int, fates: list[tuple[Any, ...]]) -> None:
        """The others read it later."""
        self.rates.append((n, len(self.rates)))
        self.who(who).rate = self.rates[-1]
        self.all_work(fates, 1)

    @rule(who=WHO, n=st.integers(1, 20), what=st.sampled_from(TROUBLES))
    def something_happens(self, what: str, who: int, n: int) -> None:
        getattr(self, what)(self.who(who), n)

    def die(self, process: Process, _n: int) -> None:
        """A process is killed, and a new one comes."""
        process.alive = False
        self.processes.remove(process)
        self.processes.append(self.new_process())

    def one_more_process(self, _process: Process, _n: int) -> None:
        if len(self.processes) < 4:
            self.processes.append(self.new_process())

    def redis_restarts_with_its_state(self, _process: Process, _n: int) -> None:
        self.world.run += 1

    def redis_restarts_without_state(self, _process: Process, _n: int) -> None:
        self.world.run += 1
        self.lose(quota_key(), ring_key(), known_key())

    def the_hash_is_lost(self, _process: Process, _n: int) -> None:
        self.lose(quota_key())

    def the_ring_is_lost(self, _process: Process, _n: int) -> None:
        self.lose(ring_key())

    def lose(self, *which: str) -> None:
        self.world.redis.delete(*which)
        self.whole = False
        if quota_key() in which:
            self.forget_state()
            self.lost_on.add((self.world.now - MIDNIGHT) // DAY)

    def a_process_reads_the_rate(self, process: Process, _n: int) -> None:
        process.rate = self.rates[-1]

    def the_platform_refuses_a_call(self, process: Process, n: int) -> None:
        before = self.world.wall
        if self.cut_until <= before:
            self.cut = 0
        if self.closed_until <= before:
            self.cut = min(5, self.cut + 1)
            self.cut_until = before + 600 * SECOND
        process.close(Meaning.SNOOZE_SECOND if n % 2 else Meaning.SNOOZE_MINUTE)
        self.closed_until = self.world.state("closed_until")

    def the_platform_refuses_the_appid(self, process: Process, _n: int) -> None:
        process.stop(Answer(48001, "", {}))

    def a_process_looks(self, process: Process, _n: int) -> None:
        """It gives back what it gets."""
        got = self.reserve(process, low=False)
        if isinstance(got, list):
            process.unused(got[0].permit)

    @precondition(lambda self: self.steady and self.program.text_per_day == 10**6)
    @rule(who=WHO)
    def after_a_long_rest_a_permit_comes(self, who: int) -> None:
        """Calls that are over do not count for ever."""
        process = self.who(who)
        pause = process.pause
        self.world.pass_time(self.world.last_event - self.world.now)
        self.reserve(process, low=False)
        for _ in range(2):
            self.world.pass_time((pause + 1) * SECOND)
            got = self.reserve(process, low=False)
        assert isinstance(got, list), f"no permit after {2 * pause + 2} s: {got}"
        self.send(process, got[0], ("answered", 0.0, 0.0, 0.0))

    # invariants

    @invariant()
    def all_holds(self) -> None:
        self.platform.check(self.tolerance)
        if self.whole:
            live = self.world.state("sum")
            assert live >= 0
            assert sum(self.ring()) == live
        if self.processes and self.steady:
            for day, count in self.platform.by_day.items():
                assert day in self.lost_on or count <= self.program.text_per_day

    def ring(self) -> list[int]:
        """The count of each bucket."""
        text = self.raw.get(ring_key())
        assert isinstance(text, bytes)
        return list(text)

    def teardown(self) -> None:
        try:
            if self.processes:
                self.world.pass_time(self.world.last_event - self.world.now)
                self.all_holds()
        finally:
            self.world.close()


class JumpingClock(SteadyClock):
    """Redis' clock is stepped and slewed as well.

    Each process reads it once a second. What it can't see is a clock that is put back and forward again between two
    readings: here each process reads it right after it was put back.
    """

    #: by so much the guard lets a clock run ahead, for each process that it may have run ahead of
    tolerance = 20_000 * 4
    steady = False

    @rule(seconds=st.sampled_from([-30, -5, -0.3, 0.3, 0.3, 5, 30]))
    def the_clock_is_stepped(self, seconds: float) -> None:
        self.world.ahead += int(seconds * SECOND)
        if seconds < 0:
            self.world.read_clock()

    @rule(millionths=st.sampled_from([-20_000, -500, 0, 500, 20_000]))
    def the_clock_is_slewed(self, millionths: int) -> None:
        self.world.gain = millionths


@pytest.fixture(scope="module")
def client() -> Iterator[redis.Redis]:
    with embedded() as client:
        yield client


@pytest.mark.parametrize("machine", [SteadyClock, JumpingClock])
def test_no_window_ever_holds_more_calls_than_the_rate(machine: type[SteadyClock], client: redis.Redis) -> None:
    address = client.get_connection_kwargs()
    with redis.Redis(host=address["host"], port=address["port"]) as raw:
        named = type(machine.__name__, (machine,), {"client": client, "raw": raw})
        run_state_machine_as_test(
            named,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=40,
                derandomize=EXAMPLES < MANY,
                database=None,
                # finding the least example takes minutes
                phases=list(Phase) if EXAMPLES >= MANY else [Phase.generate],
                deadline=None,
                suppress_health_check=list(HealthCheck),
                print_blob=False,
            ),
        )
