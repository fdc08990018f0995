"""Each scenario does something to the processes while the checks run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.chaos.world import World
from tests.support.topology import BROKER_APART


class Scale(NamedTuple):
    """The number of checks and faults."""

    checks: int
    #: seconds over which the checks are sent, at least
    seconds: float
    worker_kills: int
    endpoint_kills: int
    redis_kills: int
    #: ... of a broker that is a server of its own
    broker_kills: int
    freezes: int
    freeze_seconds: float
    #: times that it takes no writes for ``fill_seconds``
    fills: int
    fill_seconds: float
    drops: int
    #: seconds from one end of Redis to the next: for more than a minute after it nothing is sent, for the quota's sake
    redis_seconds: float
    #: seconds for everything to end when the faults are over
    settle: float = 240.0
    #: of a hundred canvases, those that are chords
    chords: int = 15
    #: ... and those whose first call has the platform close the lane for a second
    closings: int = 0


FULL = Scale(5000, 75.0, 62, 20, 5, 5, 5, 5.0, 5, 3.0, 10, 80.0)
SHORT = Scale(120, 8.0, 6, 2, 1, 1, 1, 2.0, 1, 1.0, 3, 8.0)
#: where something is to fail, whose end is not waited for as long
WEAKENED = Scale(1500, 25.0, 25, 6, 1, 1, 1, 5.0, 1, 3.0, 10, 10.0, settle=120.0)

#: what the platform does to a fifth of the calls, and to pushes
PLATFORM_FAULTS: dict[str, Any] = {
    "fault_busy": 0.05,
    "fault_http": 0.05,
    "fault_reset": 0.05,
    "fault_slow": 0.05,
    "slow_seconds": 4,
    "push_lost": 0.02,
    "push_repeat": 0.3,
    "push_early": 0.3,
}


@dataclass
class Fault:
    """Something that is done a number of times, at even distances."""

    name: str
    times: int
    every: float
    do: Callable[[], None]


class Scenario(NamedTuple):
    """A name, and what makes its faults."""

    name: str
    faults: Callable[[World, Scale], list[Fault]]
    platform_faults: bool = False
    #: whether each check is one call: nothing dies that was about to send one
    sends_once: bool = False
    #: whether it is about a broker that is a server of its own
    broker_apart: bool = False


def _workers(world: World, scale: Scale) -> list[Fault]:
    return [Fault("worker killed", scale.worker_kills, 1.0, world.kill_worker)]


def _endpoint(world: World, scale: Scale) -> list[Fault]:
    return [Fault("endpoint killed", scale.endpoint_kills, scale.seconds / scale.endpoint_kills, world.kill_endpoint)]


def _redis(world: World, scale: Scale) -> list[Fault]:
    def freeze() -> None:
        world.freeze_redis(scale.freeze_seconds, time.sleep)

    def fill() -> None:
        world.fill_redis(scale.fill_seconds, time.sleep)

    return [
        Fault("Redis killed", scale.redis_kills, scale.redis_seconds, world.kill_redis),
        Fault("Redis frozen", scale.freezes, scale.redis_seconds, freeze),
        Fault("Redis full", scale.fills, scale.redis_seconds, fill),
    ]


def _broker(world: World, scale: Scale) -> list[Fault]:
    def freeze() -> None:
        world.freeze_broker(scale.freeze_seconds, time.sleep)

    return [
        Fault("broker killed", scale.broker_kills, scale.seconds / scale.broker_kills, world.kill_broker),
        Fault("broker frozen", scale.freezes, scale.seconds / scale.freezes, freeze),
    ]


def _workers_and_broker(world: World, scale: Scale) -> list[Fault]:
    return [*_workers(world, scale), *_broker(world, scale)]


def _drops(world: World, scale: Scale) -> list[Fault]:
    return [Fault("connections dropped", scale.drops, scale.seconds / scale.drops, world.drop_connections)]


def _none(_world: World, _scale: Scale) -> list[Fault]:
    return []


def _rolling(world: World, scale: Scale) -> list[Fault]:
    return [Fault("rolling restart", 2, scale.seconds / 2, world.restart_workers)]


def _all(world: World, scale: Scale) -> list[Fault]:
    return [fault for make in (_workers, _endpoint, _redis, _drops) for fault in make(world, scale)]


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("workers", _workers),
        Scenario("endpoint", _endpoint, sends_once=True),
        Scenario("redis", _redis),
        Scenario("connections", _drops),
        Scenario("platform", _none, platform_faults=True),
        Scenario("all", _all, platform_faults=True),
        Scenario("rolling", _rolling, sends_once=True),
        Scenario("broker", _workers_and_broker, broker_apart=True),
    )
}


def scenarios_of(topology: str) -> list[str]:
    """The names of the scenarios that can be run on an arrangement of servers."""
    has_broker = topology in BROKER_APART
    return [scenario.name for scenario in SCENARIOS.values() if has_broker or not scenario.broker_apart]


def run_faults(faults: list[Fault], chance: Any) -> dict[str, int]:
    """Does each as often as it is to be done, one at a time; how often each was done."""
    began = time.monotonic()
    due = sorted(
        (fault.every * (number + chance.uniform(0.3, 1.0)), place, fault)
        for place, fault in enumerate(faults)
        for number in range(fault.times)
    )
    done = {fault.name: 0 for fault in faults}
    for at, _, fault in due:
        time.sleep(max(0.0, began + at - time.monotonic()))
        fault.do()
        done[fault.name] += 1
    return done
