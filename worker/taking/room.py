"""The free slots of a worker, by queue."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from config.lanes import LANES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from store.places.forms import Queue

#: shares of a worker's slots
SHARES: Mapping[Queue, int] = {"text": 3, "media": 2, "push": 1}
#: the queues in the order in which they are taken from; a verdict that has come waits for no call
ORDER: tuple[Queue, ...] = ("push", "text", "media")
#: slots that a lane without work keeps, so that it can begin
KEPT = 1


class Room:
    """Counts what is in hand. Safe to share between threads.

    A lane without work lends its slots to the other one; those of pushes are never lent. ``on_free`` is called when a
    slot becomes free in a queue that had none.
    """

    def __init__(self, slots: int, on_free: Callable[[], None]) -> None:
        self._slots = slots
        self._on_free = on_free
        self._lock = threading.Lock()
        self._in_hand: dict[Queue, int] = dict.fromkeys(SHARES, 0)
        self._served: set[Queue] = set()
        #: queues in which more was due at the last take
        self._crowded: set[Queue] = set()

    def serve(self, queues: set[Queue]) -> None:
        """Take from ``queues`` from now on."""
        with self._lock:
            self._served = set(queues)
        self._on_free()

    def free(self) -> dict[Queue, int]:
        """Return the number of checks that may be taken of each queue that is served, at most the free slots in all."""
        with self._lock:
            in_hand, found = dict(self._in_hand), {}
            # first where there was too little: what is lent is not taken twice
            for queue in sorted(self._served, key=lambda queue: (queue not in self._crowded, ORDER.index(queue))):
                found[queue] = self._free(queue, in_hand)
                in_hand[queue] += found[queue]
            return found

    def awaited(self) -> set[Queue]:
        """Return the queues of which a check may be taken, if not of all of them at once."""
        with self._lock:
            return {queue for queue in self._served if self._free(queue, self._in_hand) > 0}

    def crowd(self, queues: set[Queue]) -> bool:
        """Note in which queues more was due at a take. Return True if there is room for some of them now."""
        with self._lock:
            self._crowded = queues & self._served
        free = self.free()
        return any(free[queue] > 0 for queue in self._crowded)

    def take(self, queue: Queue) -> None:
        """Count a check that has come into hand."""
        with self._lock:
            self._in_hand[queue] += 1

    def let_go(self, queue: Queue) -> None:
        """Count a check that has left the hand."""
        with self._lock:
            had_none = any(self._free(each, self._in_hand) == 0 for each in self._served)
            self._in_hand[queue] -= 1
        if had_none:
            self._on_free()

    def _free(self, queue: Queue, in_hand: Mapping[Queue, int]) -> int:
        most = self._share(queue)
        left = self._slots - sum(in_hand.values())
        if queue != "push":
            idle = [lane for lane in LANES if lane != queue and lane in self._served and not self._is_at_work(lane)]
            most += sum(self._share(lane) - KEPT for lane in idle)
            left = min(left, max(1, self._slots - self._share("push")) - sum(in_hand[lane] for lane in LANES))
        return max(0, min(most - in_hand[queue], left))

    def _share(self, queue: Queue) -> int:
        """Return the slots of a queue, at least one; none of a queue that is not served."""
        whole = sum(SHARES[each] for each in self._served)
        return max(1, self._slots * SHARES[queue] // whole) if queue in self._served else 0

    def _is_at_work(self, queue: Queue) -> bool:
        return self._in_hand[queue] > 0 or queue in self._crowded
