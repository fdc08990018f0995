"""Whether the clocks agree: this machine's, Redis', those of all processes, and the platform's."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple

import requests

from ops.doctor.finding import Finding
from status.troubles import CLOCK_DOUBT, CLOCK_FAULT
from store.watch.presence import alive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from store.watch.presence import Presence
    from worker.runtime import Runtime

#: seconds for which the platform is waited for
PATIENCE = 4
BOTH = "set the wrong one, and have NTP keep both: pushes are refused beyond 10 minutes"
OURS = "set this machine's, and have NTP keep it: pushes are refused beyond 10 minutes"
REDIS = "set that of Redis' machine, for this one agrees with the platform, and have NTP keep it"


class Ahead(NamedTuple):
    """How far this machine's clock is ahead of another one."""

    seconds: float
    #: seconds that this may be wrong by: half of what the answer took, and what the other does not tell
    give: float

    @property
    def off(self) -> float:
        """Seconds that are certain."""
        return max(0.0, abs(self.seconds) - self.give)


def examine(runtime: Runtime) -> Iterator[Finding]:
    processes = alive(runtime.store)
    began = time.time()
    seconds, microseconds = runtime.store.time()
    redis = between(began, time.time(), seconds + microseconds / 1e6)
    yield from told(redis, _platform(runtime.settings.api_base), processes)


def told(redis: Ahead, platform: Ahead | None, processes: list[Presence]) -> Iterator[Finding]:
    """What is said of the clocks. Pure. ``platform``: None where it does not tell its time."""
    found = []
    if redis.off >= CLOCK_DOUBT:
        # two against one
        judged = platform is not None and platform.off < CLOCK_DOUBT
        found.append(_off("this machine", redis.seconds, "Redis'", REDIS if judged else BOTH))
    if platform is not None and platform.off >= CLOCK_DOUBT:
        found.append(_off("this machine", platform.seconds, "the platform's", OURS))
    found += [
        _off(process.name, process.clock_offset, "Redis'", BOTH)
        for process in processes
        if abs(process.clock_offset) >= CLOCK_DOUBT
    ]
    yield from found
    if not found:
        whose = ["this machine's", "Redis'"]
        if processes:
            whose.append(f"those of {len(processes)} processes")
        if platform is not None:
            whose.append("the platform's")
        yield Finding("ok", "clocks", f"agree within seconds: {', '.join(whose)}")


def between(began: float, ended: float, shown: float, granularity: float = 0.0) -> Ahead:
    """What another clock ``shown`` while this one went from ``began`` to ``ended`` says; all in seconds.

    ``granularity``: of the other, which leaves out what is beyond it.
    """
    return Ahead((began + ended) / 2 - (shown + granularity / 2), (ended - began + granularity) / 2)


def _off(whose: str, seconds: float, other: str, remedy: str) -> Finding:
    way = "ahead of" if seconds > 0 else "behind"
    said = f"{abs(seconds):.0f} s {way} {other}"
    return Finding("bad" if abs(seconds) >= CLOCK_FAULT else "warn", f"clock of {whose}", said, remedy)


def _platform(base: str) -> Ahead | None:
    """By the ``Date`` of an answer; None where there is none: whether the platform answers is looked at apart."""
    began = time.time()
    try:
        with requests.get(base, timeout=PATIENCE, allow_redirects=False, stream=True) as answer:
            ended = time.time()
            shown = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (requests.RequestException, KeyError, ValueError):
        return None
    return between(began, ended, shown, granularity=1.0)
