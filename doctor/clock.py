"""Whether the clocks agree: this machine's, Redis', those of all processes, and the platform's."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import requests

from board.troubles import CLOCK_DOUBT, CLOCK_FAULT
from doctor.finding import Finding, Level
from worker.presence import alive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.runtime import Runtime

#: seconds for which the platform is waited for
PATIENCE = 5
REMEDY = "set the wrong one, and have NTP keep both: pushes are refused beyond 10 minutes"


def examine(runtime: Runtime) -> Iterator[Finding]:
    seconds, microseconds = runtime.store.time()
    faults = list(_off("this machine", time.time() - (seconds + microseconds / 1e6), "Redis'"))
    for process in alive(runtime.store):
        faults += _off(process.name, process.clock_offset, "Redis'")
    ahead = _ahead_of_platform(runtime.settings.api_base)
    if ahead is not None:
        faults += _off("this machine", ahead, "the platform's")
    yield from faults
    if not faults:
        yield Finding("ok", "clocks", "agree, within seconds")


def _off(whose: str, seconds: float, other: str) -> Iterator[Finding]:
    if abs(seconds) >= CLOCK_DOUBT:
        level: Level = "bad" if abs(seconds) >= CLOCK_FAULT else "warn"
        way = "ahead of" if seconds > 0 else "behind"
        yield Finding(level, f"clock of {whose}", f"{abs(seconds):.0f} s {way} {other}", REMEDY)


def _ahead_of_platform(base: str) -> float | None:
    """Seconds that this machine is ahead of the platform; None where that does not tell its time."""
    try:
        with requests.get(base, timeout=PATIENCE, allow_redirects=False, stream=True) as answer:
            told = parsedate_to_datetime(answer.headers["Date"])
    except (requests.RequestException, KeyError, ValueError):
        return None  # whether it answers at all is looked at apart
    # it says whole seconds
    return time.time() - (told.timestamp() + 0.5)
