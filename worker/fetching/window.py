"""The window: the number of messages that a flow may have in hand whose call is not sent yet. Pure.

The window is large enough to miss no send time. Messages whose call is under way do not count, so slow answers do not
matter. The seconds that permits lie ahead show too few or too many messages in all workers together, well before a
permit is refused. A small window grows as fast as a large one and shrinks less, so that workers come to share a lane
evenly.

With ``-P processes`` nobody tells the seconds that a permit lay ahead, nor the time at which its call was sent. There
messages under way count too, and refusals set the window's size: it shrinks to the messages in hand then, and grows
while permits come, at first slowly, since it was about right, then faster and faster, since answers may have become
slower.

After a pause the window has the size that it had while permits came. If nobody knows whether permits come, it starts
with one message.
"""

from __future__ import annotations

#: seconds that permits should lie ahead: a worker that is late by less misses no send time
AHEAD = 0.12
#: messages that a permit nearer than AHEAD adds: GROWTH divided by the size, and LEAST_GROWTH at least
GROWTH, LEAST_GROWTH = 0.5, 0.02
#: share by which a permit farther ahead shrinks the window
SHRINKING = 0.02
#: messages that end after a refusal until a window of unknown depths grows by one; by four after twice as many
PATIENCE = 18


class Window:
    """The size of one lane's window in one worker, between 1 and ``cap``."""

    def __init__(self, cap: int) -> None:
        self.cap = max(1, cap)
        self._size = 4.0
        self._doubling = True
        #: size when a message last got its permit
        self._proven = 1.0
        #: messages that got a permit of unknown depth since the latest refusal
        self._granted = 0
        #: the pool tells how far ahead permits lie
        self._told = False

    @property
    def size(self) -> int:
        return max(1, min(self.cap, int(self._size)))

    def granted(self, ahead: float | None) -> None:
        """Note that a message got its permit ``ahead`` seconds before its send time; None: it ended untold."""
        if ahead is None:
            if self._told:
                return  # the message failed before it asked for a permit
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
        """Note that a message got no permit, while ``waiting`` others have a permit or wait for one."""
        self._doubling = False
        self._granted = 0
        self._size = float(max(1, min(waiting, int(self._size))))

    def resume(self) -> None:
        """Go on after a pause, because permits come again."""
        self._doubling = True
        self._size = self._proven

    def probe(self) -> None:
        """Begin anew with a single message, which finds out whether permits come."""
        self._doubling = True
        self._size = 1.0
