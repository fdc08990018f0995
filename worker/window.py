"""How many messages of a lane a worker has in hand: as many as get a permit soon, and not more. Pure.

A message that is fetched too early must be given back. So the window shrinks to what is in hand when one gets no
permit, and grows while permits come: slowly at first, for it was about right, then faster and faster, for answers may
have become slower. After a pause it is what it was while permits came; where nobody knows whether they do, it starts
with one and doubles.
"""

from __future__ import annotations

#: messages that must end after a refusal before the window has grown by one; twice as many, by four
PATIENCE = 18


class Window:
    """The size of one lane's window in one worker, between 1 and ``cap``."""

    def __init__(self, cap: int) -> None:
        self.cap = max(1, cap)
        self._size = 4.0
        self._doubling = True
        #: what it was when a message got its permit last
        self._proven = 1.0
        #: messages that ended since the last refusal
        self._granted = 0

    @property
    def size(self) -> int:
        return max(1, min(self.cap, int(self._size)))

    def ended(self, *, room: bool = False) -> None:
        """A message ended, so it got its permit; ``room``: permits are known to come at once."""
        self._granted += 1
        step = 1.0 if self._doubling or room else min(1.0, 2 * self._granted / PATIENCE**2)
        self._size = min(float(self.cap), self._size + step)
        self._proven = self._size

    def refused(self, in_hand: int) -> None:
        """A message got no permit, while ``in_hand`` others have theirs, or wait for it."""
        self._doubling = False
        self._granted = 0
        self._size = float(max(1, min(in_hand, int(self._size))))

    def resume(self) -> None:
        """Goes on after a pause, for permits come again."""
        self._doubling = True
        self._size = self._proven

    def probe(self) -> None:
        """Begins anew with a single message, which finds out whether permits come."""
        self._doubling = True
        self._size = 1.0
