"""What time it can be at Redis by this process' own clock, so that a step of Redis' clock is seen. Pure."""

from __future__ import annotations

from collections import deque

#: seconds for which a pair of times is believed: two clocks drift apart
LIFETIME = 300.0
#: seconds between two pairs that are kept
APART = 20.0


class Anchors:
    """Pairs of times, ours and the quota's, of calls that were answered.

    Redis took its time after ours was read, so no more can have passed there since than has passed here.
    """

    def __init__(self) -> None:
        #: ours (seconds, monotonic), the difference (microseconds), the least of each stretch of time
        self._pairs: deque[tuple[float, float]] = deque()

    def add(self, before: float, theirs: int) -> None:
        """``before``: our clock before the call, in seconds; ``theirs``: the quota's time, in microseconds."""
        difference = theirs - before * 1e6
        if self._pairs and before - self._pairs[-1][0] < APART:
            start, least = self._pairs[-1]
            self._pairs[-1] = (start, min(least, difference))
            return
        self._pairs.append((before, difference))
        while before - self._pairs[0][0] > LIFETIME:
            self._pairs.popleft()

    def latest(self, ours: float) -> int:
        """The latest that it can be there, in microseconds; 0 where nothing is known."""
        if not self._pairs:
            return 0
        return int(ours * 1e6 + min(difference for _, difference in self._pairs))
