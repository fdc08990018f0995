"""Runs one scenario."""

from __future__ import annotations

import random
import time
from pathlib import Path

from tests.chaos.load import Load
from tests.chaos.outcome import Outcome, judge, settled
from tests.chaos.scenarios import PLATFORM_FAULTS, SCENARIOS, Scale, run_faults
from tests.chaos.world import World

#: seconds for everything to end when the faults are over
SETTLE = 240.0


def run_scenario(name: str, scale: Scale, seed: int, directory: Path) -> Outcome:
    """Sends the checks while the faults of ``name`` happen; what became of them."""
    scenario = SCENARIOS[name]
    chance = random.Random(f"{seed} {name}")
    began = time.monotonic()
    world = World(directory, chance)
    try:
        if scenario.platform_faults:
            world.system.tell_sandbox(**PLATFORM_FAULTS)
        faults = scenario.faults(world, scale)
        seconds = max([scale.seconds, *(fault.times * fault.every for fault in faults)])
        load = Load(world.app, scale.checks, seconds, random.Random(chance.random()))
        load.start()
        done = run_faults(faults, chance)
        load.join(SETTLE)
        settled(world, load, SETTLE)
        outcome = judge(world, load, Outcome(name, seed, done))
        outcome.seconds = time.monotonic() - began
        return outcome
    finally:
        world.close()
