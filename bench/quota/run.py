"""One run: a contender, a latency model and perhaps a fault, from fresh servers to the rows of the table."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from itertools import chain

from kombu.exceptions import OperationalError

from bench.quota.contenders import QUOTA_SCRIPTS, Contender
from bench.quota.faults import Fault, Step
from bench.quota.feeder import Feeder
from bench.quota.result import Look, Row, costs_of, row_of
from bench.quota.scale import Scale
from bench.quota.system import System
from bench.quota.windows import SECOND, Span, arrivals_within
from bench.redis_load import state_bytes, version
from bench.servers import RunFailed

#: seconds between two looks at a run
_TICK = 0.1
#: seconds between two looks at the CPU time of workers that may be killed, and at the backlog
_SLOW_TICK = 0.5
#: seconds for the workers to start, beside the pause that a limiter may begin with
_STARTS = 60.0


class Stopped(Exception):
    """The bench is being ended."""


@dataclass(frozen=True)
class Plan:
    """What one run is to be."""

    contender: Contender
    model: str
    fault: Fault | None
    scale: Scale
    seed: int = 1

    @property
    def title(self) -> str:
        fault = f", {self.fault.title}" if self.fault else ""
        return f"{self.contender.title}; {self.model}{fault}"

    @property
    def measured(self) -> float:
        return self.scale.measured_with_fault if self.fault else self.scale.measured

    @property
    def seconds(self) -> float:
        """How long it takes, about."""
        return 4 + self.scale.warm_up + self.measured


class Run:
    """Does what a plan says. ``stop`` ends it early."""

    def __init__(self, plan: Plan, stop: threading.Event) -> None:
        self._plan = plan
        self._stop = stop
        self._slow = 0.0
        #: name and version of the Redis, once it runs
        self.server = ""

    def rows(self) -> list[Row]:
        """A row for each lane.

        Raises:
            RunFailed: it could not be made.
            Stopped: it was ended early.
        """
        plan, fault = self._plan, self._plan.fault
        with System(
            plan.contender,
            plan.scale,
            plan.model,
            plan.seed,
            # a fault of Redis is to hit all that a deployment with one Redis keeps in it
            apart=fault is None and not plan.contender.is_wxcheck,
            durable=fault is not None and fault.durable,
            clock=fault is not None and fault.clock,
        ) as self._system:
            self.server = version(self._system.store)
            self._feeder = Feeder(
                self._system.broker_url, plan.contender.feeds, plan.scale, plan.scale.warm_up + plan.measured
            )
            try:
                return self._measure()
            finally:
                self._feeder.close()

    def _measure(self) -> list[Row]:
        plan, system = self._plan, self._system
        self._feeder.fill()
        started = time.monotonic_ns()
        system.start_workers()
        start = self._await_first_call() + round(plan.scale.warm_up * SECOND)
        span = Span(start, start + round(plan.measured * SECOND))
        self._go_on(span.start)
        before = system.look()
        self._do(plan.fault.steps(plan.scale, plan.contender.workers) if plan.fault else [], span)
        self._go_on(span.end)
        after = system.look()
        state = state_bytes(system.store, plan.contender.state)
        # the recording server writes once a second
        self._go_on(span.end + 2 * SECOND)
        return self._rows(started, span, before, after, state)

    def _rows(self, started: int, span: Span, before: Look, after: Look, state: int) -> list[Row]:
        plan, lanes = self._plan, self._system.arrivals.lanes
        times = chain.from_iterable(lanes[lane].times for lane in plan.contender.lanes)
        limiter = QUOTA_SCRIPTS if plan.contender.is_wxcheck else None
        costs = costs_of(before, after, arrivals_within(times, span), span.length / SECOND, state, limiter)
        return [
            row_of(
                lanes[lane],
                span,
                contender=plan.contender.name,
                lane=lane,
                model=plan.model,
                fault=plan.fault.name if plan.fault else None,
                pauses=plan.fault is not None and plan.fault.pauses,
                quota=plan.scale.quota(lane),
                window=plan.scale.window,
                started=started,
                costs=costs,
            )
            for lane in plan.contender.lanes
        ]

    def _await_first_call(self) -> int:
        deadline = time.monotonic() + _STARTS + 2 * self._plan.scale.warm_up
        while (first := self._system.arrivals.first()) is None:
            if time.monotonic() > deadline:
                raise RunFailed(f"{self._plan.title}: no call arrived; {self._system.worker_logs()}")
            self._tick()
        return first

    def _do(self, steps: list[Step], span: Span) -> None:
        for step in sorted(steps, key=lambda step: step.at):
            self._go_on(span.start + round(step.at * SECOND))
            step.do(self._system)
            if step.empties_queues:
                self._refill(span)

    def _refill(self, span: Span) -> None:
        while True:
            try:
                left = (span.end - time.monotonic_ns()) / SECOND
                return self._feeder.refill(self._system.arrived(), left)
            except OperationalError:
                self._tick()

    def _go_on(self, until: int) -> None:
        while time.monotonic_ns() < until:
            self._tick()

    def _tick(self) -> None:
        if self._stop.wait(_TICK):
            raise Stopped
        now = time.monotonic()
        if now - self._slow >= _SLOW_TICK:
            self._slow = now
            self._system.check()
            self._system.cpu.look(self._system.worker_pids())
            self._feeder.top_up(self._system.arrived())
