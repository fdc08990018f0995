"""What is done to a running system: each fault as a list of steps at their times. Pure but for what a step does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bench.quota.scale import Scale

#: seconds between two kills of a worker
KILL_EVERY = 5.0
#: seconds for which a worker stands still
STOPPED_FOR = 5.0
#: seconds without Redis
REDIS_AWAY = 1.0


class Target(Protocol):
    """What a step is done to: a running system."""

    def replace_worker(self, number: int) -> None: ...
    def stop_worker(self, number: int) -> None: ...
    def continue_worker(self, number: int) -> None: ...
    def kill_redis(self) -> None: ...
    def restart_redis(self) -> None: ...
    def step_clock(self, seconds: float) -> None: ...


@dataclass(frozen=True)
class Step:
    """``at``: seconds after the steady state began."""

    at: float
    do: Callable[[Target], None]
    #: the broker has lost its queues with this step
    empties_queues: bool = False


@dataclass(frozen=True)
class Fault:
    """``name`` is what the command line takes, ``title`` what the table shows."""

    name: str
    title: str
    #: by scale and number of workers
    steps: Callable[[Scale, int], list[Step]]
    #: the longest time without a call is forced by it, and is told beside the use instead of lowering it
    pauses: bool = False
    #: Redis keeps an append-only file
    durable: bool = False
    #: the clock of the scripts can be stepped
    clock: bool = False


def _kill(scale: Scale, workers: int) -> list[Step]:
    times = range(int(scale.measured_with_fault // KILL_EVERY))

    def step(turn: int) -> Step:
        return Step(turn * KILL_EVERY, lambda system: system.replace_worker(turn % workers))

    return [step(turn) for turn in times]


def _stop(scale: Scale, workers: int) -> list[Step]:
    every = max(scale.measured_with_fault / 12, 2 * STOPPED_FOR)
    steps = []
    for turn in range(int(scale.measured_with_fault // every)):
        number = turn % workers
        steps.append(Step(turn * every, lambda system, number=number: system.stop_worker(number)))  # type: ignore[misc]
        steps.append(
            Step(turn * every + STOPPED_FOR, lambda system, number=number: system.continue_worker(number))  # type: ignore[misc]
        )
    return steps


def _redis(scale: Scale, *, kept: bool) -> list[Step]:
    at = scale.measured_with_fault / 6
    return [
        Step(at, lambda system: system.kill_redis()),
        Step(at + REDIS_AWAY, lambda system: system.restart_redis(), empties_queues=not kept),
    ]


def _clock(scale: Scale, direction: int) -> list[Step]:
    return [Step(scale.measured_with_fault / 3, lambda system: system.step_clock(direction * scale.step))]


_ALL = [
    Fault("kill", "a worker killed every 5 s", _kill),
    Fault("stop", "a worker stopped for 5 s, again and again", _stop),
    Fault("redis-aof", "Redis killed, back from its AOF", lambda s, _: _redis(s, kept=True), pauses=True, durable=True),
    Fault("redis-lost", "Redis killed, back empty", lambda s, _: _redis(s, kept=False), pauses=True),
    Fault("clock+", "Redis' clock half a window forward", lambda s, _: _clock(s, 1), clock=True),
    Fault("clock-", "Redis' clock half a window back", lambda s, _: _clock(s, -1), clock=True),
]

FAULTS = {fault.name: fault for fault in _ALL}
