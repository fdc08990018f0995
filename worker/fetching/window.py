"""How many messages of a lane a worker holds whose call is not sent yet: enough to miss no send time. Pure.

Those whose call is under way count for nothing here, so that it does not matter how long answers take. How far ahead
permits lie tells whether all workers together hold too few or too many, well before one is refused. A worker that holds
few grows as fast as one that holds many and shrinks less, so that they come to share a lane evenly.

Where nobody tells how far ahead a permit lay, nor when its call was sent (``-P processes``), those under way count too,
and the window finds its size by what is refused: it shrinks to what is in hand then, and grows while permits come, at
first slowly, for it was about right, then faster and faster, for answers may have become slower.

After a pause it is what it was while permits came; where nobody knows whether they do, it starts with one.
"""

from __future__ import annotations

#: seconds that permits are to lie ahead: a worker that is late by less misses no send time
AHEAD = 0.12
#: messages that a permit nearer than that adds: so many by the window's size, and so many at least
GROWTH, LEAST_GROWTH = 0.5, 0.02
#: the share by which one that lies farther ahead makes it smaller
SHRINKING = 0.02
#: messages that must end after a refusal before a window that is told nothing has grown by one; twice as many, by four
PATIENCE = 18


class Window:
    """The size of one lane's window in one worker, between 1 and ``cap``."""

    def __init__(self, cap: int) -> None:
        self.cap = max(1, cap)
        self._size = 4.0
        self._doubling = True
        #: what it was when a message got its permit last
        self._proven = 1.0
        #: messages that got a permit of unknown depth since the last refusal
        self._granted = 0
        #: whether depths are told here
        self._told = False

    @property
    def size(self) -> int:
        return max(1, min(self.cap, int(self._size)))

    def granted(self, ahead: float | None) -> None:
        """A message got its permit, which lay so many seconds ahead; None: it ended, and nothing of that was told."""
        if ahead is None:
            if self._told:
                return  # it was refused before it asked for one
            self._granted += 1
            step = 1.0 if self._doubling else min(1.0, 2 * self._granted / PATIENCE**2)
        elif ahead < AHEAD:
            step = max(GROWTH / self._size, LEAST_GROWTH)
        else:
            step = -SHRINKING * self._size
        self._told = ahead is not None
        self._size = max(1.0, min(float(self.cap), self._size + step))
        self._proven = self._size

    def refused(self, waiting: int) -> None:
        """A message got no permit, while ``waiting`` others have theirs, or wait for it."""
        self._doubling = False
        self._granted = 0
        self._size = float(max(1, min(waiting, int(self._size))))

    def resume(self) -> None:
        """Goes on after a pause, for permits come again."""
        self._doubling = True
        self._size = self._proven

    def probe(self) -> None:
        """Begins anew with a single message, which finds out whether permits come."""
        self._doubling = True
        self._size = 1.0
