"""Whether Redis' clock goes evenly, by this process' own; the time of the quotas leaves out its steps. Pure.

Every answer of Redis says what its clock showed, somewhen between a call and its answer; so the difference of the two
clocks lies between two bounds. Where those of a later answer do not agree with them, Redis' clock was put forward or
back.
"""

from __future__ import annotations

import math
import threading
from collections import deque

#: seconds between two answers beyond which a clock may have been put back and forward again unseen
GAP = 3.0
#: seconds for which the bounds of an answer are believed: two clocks drift apart
LIFETIME = 30.0
#: seconds between two pairs of bounds that are kept
APART = 3.0
#: microseconds by which bounds may disagree
SLACK = 20_000


class Watch:
    """What this process has seen of Redis' clock; may be used from any thread. Ours is in seconds, theirs in
    microseconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: since when, by our clock; the least and the most that theirs is ahead of ours
        self._bounds: deque[tuple[float, float, float]] = deque()
        #: since when, by their clock, it has gone evenly
        self._steady = 0
        #: when the last call began that was answered, and the one that saw the last step
        self._seen = self._began = -math.inf

    def knows(self, ours: float) -> bool:
        """Whether something has been seen of Redis' clock lately."""
        return ours - self._seen <= GAP

    def at(self, ours: float) -> tuple[int, int]:
        """The latest that Redis' clock can show now, and since when, by that clock, it has gone evenly."""
        with self._lock:
            return int(ours * 1e6 + min(most for _, _, most in self._bounds)), self._steady

    def add(self, before: float, after: float, theirs: int) -> None:
        """``theirs``: what Redis' clock showed between ``before`` and ``after``."""
        least, most = theirs - after * 1e6, theirs - before * 1e6
        with self._lock:
            if before < self._began:
                return  # from before a step that has been seen
            if after - self._seen > GAP or self._disagree(least, most):
                self._bounds.clear()
                self._steady = theirs
                self._began = before
            self._seen = max(self._seen, before)
            if self._bounds and before - self._bounds[-1][0] < APART:
                since, other_least, other_most = self._bounds.pop()
                before, least, most = since, max(least, other_least), min(most, other_most)
            self._bounds.append((before, least, most))
            while self._bounds[-1][0] - self._bounds[0][0] > LIFETIME:
                self._bounds.popleft()

    def _disagree(self, least: float, most: float) -> bool:
        return any(most < lower - SLACK or least > upper + SLACK for _, lower, upper in self._bounds)
