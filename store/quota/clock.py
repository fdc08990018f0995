"""A watch over Redis' clock, by this process' own; the time of the quotas leaves out the steps of Redis' clock.

Redis' clock was read at some moment between a call and its answer, so the difference of the two clocks lies between two
bounds. If the bounds of a later answer disagree, Redis' clock was put forward or back.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: seconds between two answers beyond which a clock may have been put back and forward again unseen
GAP = 3.0
#: seconds for which the bounds of an answer hold
LIFETIME = 30.0
#: seconds between two pairs of bounds that are kept
APART = 3.0
#: microseconds a second by which two clocks drift apart; further microseconds by which bounds may disagree
DRIFT, SLACK = 1_000, 2_000
#: microseconds from a disagreement until the clock counts as even again: it may be slewed slowly, not put at once
PROBATION = 1_000_000


def ours() -> float:
    """Return seconds of a clock that nobody puts or slews, if there is one: Redis may share this machine's clock."""
    return time.clock_gettime(_CLOCK)


#: NTP slews CLOCK_MONOTONIC too
_CLOCK = getattr(time, "CLOCK_MONOTONIC_RAW", time.CLOCK_MONOTONIC)


class Watch:
    """The observations of Redis' clock by this process. Safe to share between threads.

    Ours is in seconds, theirs in microseconds.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: time of the observation by our clock; the least and the most that their clock is ahead of ours
        self._bounds: deque[tuple[float, float, float]] = deque()
        #: time by their clock from which on it counts as even
        self._steady = 0
        #: start of the latest answered call; start of the call that saw the latest step
        self._seen = self._began = -math.inf
        #: a step was seen that nobody has asked for yet
        self._has_stepped = False

    def knows(self, ours: float) -> bool:
        """True if Redis' clock was seen lately."""
        return ours - self._seen <= GAP

    def at(self, ours: float) -> tuple[int, int]:
        """Return the latest that Redis' clock can show now, and its time since which it counts as even."""
        with self._lock:
            ahead = min(most + DRIFT * (ours - since) for since, _, most in self._bounds)
            return int(ours * 1e6 + ahead), self._steady

    def read(self, their_time: Callable[[], tuple[int, int]]) -> None:
        """Ask for the time: ``their_time`` returns seconds and microseconds of their clock, as Redis' TIME does."""
        before = ours()
        seconds, microseconds = their_time()
        self.add(before, ours(), seconds * 1_000_000 + microseconds)

    def add(self, before: float, after: float, theirs: int) -> None:
        """Take in a reading: Redis' clock showed ``theirs`` at some moment between ``before`` and ``after``."""
        least, most = theirs - after * 1e6, theirs - before * 1e6
        with self._lock:
            if before < self._began:
                return  # the call began before a step that has been seen
            gap = after - self._seen > GAP
            stepped = not gap and self._disagree(before, least, most)
            self._has_stepped |= stepped
            if gap or stepped:
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

    def has_stepped(self) -> bool:
        """Return whether their clock was put forward or back since the last time that this was asked."""
        with self._lock:
            stepped, self._has_stepped = self._has_stepped, False
            return stepped

    def _disagree(self, before: float, least: float, most: float) -> bool:
        for since, lower, upper in self._bounds:
            slack = SLACK + DRIFT * max(0.0, before - since)
            if most < lower - slack or least > upper + slack:
                return True
        return False
