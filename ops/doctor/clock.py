"""The look at the clocks: this machine's, Redis', those of all processes, and the platform's."""

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

#: most seconds to wait for the platform
PATIENCE = 4
BOTH = "set the wrong one, and have NTP keep both: pushes are refused beyond 10 minutes"
OURS = "set this machine's, and have NTP keep it: pushes are refused beyond 10 minutes"
REDIS = "set that of Redis' machine, for this one agrees with the platform, and have NTP keep it"


class Ahead(NamedTuple):
    """The seconds by which this machine's clock is ahead of another one."""

    seconds: float
    #: seconds by which this may be wrong: half of the answer's time, and half of the other clock's granularity
    give: float

    @property
    def off(self) -> float:
        """Return the seconds that are certain."""
        return max(0.0, abs(self.seconds) - self.give)


def examine(runtime: Runtime) -> Iterator[Finding]:
    processes = alive(runtime.store)
    began = time.time()
    seconds, microseconds = runtime.store.time()
    redis = between(began, time.time(), seconds + microseconds / 1e6)
    yield from told(redis, _platform(runtime.settings.api_base), processes)


def told(redis: Ahead, platform: Ahead | None, processes: list[Presence]) -> Iterator[Finding]:
    """Yield the findings about the clocks. Pure. ``platform``: None if the platform does not tell its time."""
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
    """Compare this clock, which went from ``began`` to ``ended``, with another clock that showed ``shown`` meanwhile.

    All in seconds. ``granularity``: the unit of the other clock, which leaves out smaller parts.
    """
    return Ahead((began + ended) / 2 - (shown + granularity / 2), (ended - began + granularity) / 2)


def _off(whose: str, seconds: float, other: str, remedy: str) -> Finding:
    way = "ahead of" if seconds > 0 else "behind"
    said = f"{abs(seconds):.0f} s {way} {other}"
    return Finding("bad" if abs(seconds) >= CLOCK_FAULT else "warn", f"clock of {whose}", said, remedy)


def _platform(base: str) -> Ahead | None:
    """Compare with the ``Date`` of an answer of the platform; None without an answer, which is another look's fault."""
    began = time.time()
    try:
        with requests.get(base, timeout=PATIENCE, allow_redirects=False, stream=True) as answer:
            ended = time.time()
            shown = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (requests.RequestException, KeyError, ValueError):
        return None
    return between(began, ended, shown, granularity=1.0)
