"""Whether Redis' clock goes evenly, by this process' own; the time of the quotas leaves out its steps.

Every answer of Redis says what its clock showed, somewhen between a call and its answer; so the difference of the two
clocks lies between two bounds. Where those of a later answer do not agree with them, Redis' clock was put forward or
back.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque

#: seconds between two answers beyond which a clock may have been put back and forward again unseen
GAP = 3.0
#: seconds for which the bounds of an answer are believed
LIFETIME = 30.0
#: seconds between two pairs of bounds that are kept
APART = 3.0
#: microseconds a second by which two clocks drift apart, and by which bounds may disagree beyond that
DRIFT, SLACK = 1_000, 2_000
#: microseconds after a disagreement before a clock is taken to go evenly: it may be on its way, slewed, and not put
PROBATION = 1_000_000


def ours() -> float:
    """Seconds of this machine's clock that nobody puts or slews, where it has one: Redis' may be the same machine's."""
    return time.clock_gettime(_CLOCK)


#: NTP slews the usual one, too
_CLOCK = getattr(time, "CLOCK_MONOTONIC_RAW", time.CLOCK_MONOTONIC)


class Watch:
    """What this process has seen of Redis' clock; may be used from any thread. Ours is in seconds, theirs in
    microseconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: since when, by our clock; the least and the most that theirs is ahead of ours
        self._bounds: deque[tuple[float, float, float]] = deque()
        #: from when on, by their clock, it is taken to go evenly
        self._steady = 0
        #: when the last call began that was answered, and the one that saw the last step
        self._seen = self._began = -math.inf

    def knows(self, ours: float) -> bool:
        """Whether something has been seen of Redis' clock lately."""
        return ours - self._seen <= GAP

    def at(self, ours: float) -> tuple[int, int]:
        """The latest that Redis' clock can show now, and from when on, by that clock, it is taken to go evenly."""
        with self._lock:
            ahead = min(most + DRIFT * (ours - since) for since, _, most in self._bounds)
            return int(ours * 1e6 + ahead), self._steady

    def add(self, before: float, after: float, theirs: int) -> None:
        """``theirs``: what Redis' clock showed between ``before`` and ``after``."""
        least, most = theirs - after * 1e6, theirs - before * 1e6
        with self._lock:
            if before < self._began:
                return  # from before a step that has been seen
            gap = after - self._seen > GAP
            if gap or self._disagree(before, least, most):
                self._bounds.clear()
                self._steady = theirs + (0 if gap else PROBATION)
                self._began = before
            self._seen = max(self._seen, before)
            if self._bounds and before - self._bounds[-1][0] < APART:
                since, other_least, other_most = self._bounds.pop()
                before, least, most = since, max(least, other_least), min(most, other_most)
            self._bounds.append((before, least, most))
            while self._bounds[-1][0] - self._bounds[0][0] > LIFETIME:
                self._bounds.popleft()

    def _disagree(self, before: float, least: float, most: float) -> bool:
        for since, lower, upper in self._bounds:
            slack = SLACK + DRIFT * max(0.0, before - since)
            if most < lower - slack or least > upper + slack:
                return True
        return False
