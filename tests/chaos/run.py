"""Runs one scenario."""

from __future__ import annotations

import random
import time
from pathlib import Path

from tests.chaos.load import Load
from tests.chaos.outcome import Outcome, judge, settled
from tests.chaos.scenarios import PLATFORM_FAULTS, SCENARIOS, Scale, run_faults
from tests.chaos.world import World


def run_scenario(
    name: str, scale: Scale, seed: int, directory: Path, without: str | None = None, topology: str = "one Redis"
) -> Outcome:
    """Sends the checks while the faults of ``name`` happen; what became of them.

    ``without``: one of :data:`tests.chaos.without.MECHANISMS`, to be switched off. ``topology``: one of
    :data:`tests.support.topology.NAMES`.
    """
    scenario = SCENARIOS[name]
    chance = random.Random(f"{seed} {name}")
    began = time.monotonic()
    world = World(directory, chance, topology, without)
    try:
        if scenario.platform_faults:
            world.system.tell_sandbox(**PLATFORM_FAULTS)
        faults = scenario.faults(world, scale)
        seconds = max([scale.seconds, *(fault.times * fault.every for fault in faults)])
        load = Load(world.app, scale.checks, seconds, scale.chords, scale.closings, random.Random(chance.random()))
        load.start()
        done = run_faults(faults, chance)
        load.join(scale.settle)
        settled(world, load, scale.settle)
        outcome = judge(world, load, Outcome(name, seed, done, topology, sends_once=scenario.sends_once))
        outcome.seconds = time.monotonic() - began
        return outcome
    finally:
        world.close()
