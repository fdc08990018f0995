"""How much is run: the whole, and a quick look."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Numbers of checks, appIds and rounds; times in seconds."""

    #: turns of each side
    rounds: int
    #: appIds whose day's quota is gone
    closed: tuple[int, ...]
    #: how long an idle worker is watched
    watched: float
    #: appIds of the system with few clients and descriptors
    tight: int
    #: checks that wait in one lane while scripts are timed, and beside which another appId's are
    waiting: int
    beside: int
    #: checks of that other appId, in each turn
    others: int
    #: appIds that all have a backlog, the quota's window, and how long their use is measured
    lanes: int
    window: float
    measured: float
    #: parked checks that time out at once
    overdue: int
    #: task ids that are revoked at once
    revoked: int
    #: checks whose round trips are counted
    trips: int


FULL = Scale(
    rounds=5,
    closed=(1, 10, 100, 1_000),
    watched=30.0,
    tight=1_000,
    waiting=1_000_000,
    beside=200_000,
    others=500,
    lanes=100,
    window=60.0,
    measured=240.0,
    overdue=100_000,
    revoked=50_000,
    trips=1_000,
)

QUICK = Scale(
    rounds=3,
    closed=(1, 300),
    watched=6.0,
    tight=150,
    waiting=30_000,
    beside=10_000,
    others=200,
    lanes=30,
    window=12.0,
    measured=15.0,
    overdue=3_000,
    revoked=5_000,
    trips=150,
)
