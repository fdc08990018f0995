"""How much is run: the whole, and a quick look."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Numbers of checks, pushes and rounds."""

    #: turns of each side
    rounds: int
    #: checks that a worker runs before the first one that counts
    warm_up: int
    #: of one turn
    texts: int
    chains: int
    #: pushes of one turn to an endpoint
    pushes: int
    #: pushes of one turn whose latency is measured
    probes: int
    #: checks that wait in each lane beside them
    backlog: int
    #: parked checks: whose bytes are counted, and beside which a push is finished
    parked: tuple[int, ...]
    beside: tuple[int, ...]
    #: pushes for each of the latter
    finishes: int
    sweeps: int
    #: text checks after which a worker's memory is compared
    memory: tuple[int, int]
    #: of one turn, and the numbers of worker processes
    scaled_texts: int
    processes: tuple[int, ...]
    #: checks of each path whose commands are counted
    trips: int


FULL = Scale(
    rounds=5,
    warm_up=300,
    texts=2_000,
    chains=400,
    pushes=4_000,
    probes=40,
    backlog=20_000,
    parked=(1_000, 10_000, 50_000, 200_000),
    beside=(1_000, 50_000, 200_000, 1_000_000),
    finishes=200,
    sweeps=200,
    memory=(10_000, 100_000),
    scaled_texts=1_000,
    processes=(1, 2, 4),
    trips=100,
)

QUICK = Scale(
    rounds=3,
    warm_up=150,
    texts=600,
    chains=200,
    pushes=2_000,
    probes=20,
    backlog=2_000,
    parked=(1_000, 20_000),
    beside=(1_000, 10_000, 100_000),
    finishes=40,
    sweeps=50,
    memory=(1_000, 10_000),
    scaled_texts=600,
    processes=(1, 2),
    trips=30,
)
