"""A run of a task that deals with a check, from the take to the move."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from worker.ending.left import Left

if TYPE_CHECKING:
    from collections.abc import Iterator

    from store.places.forms import Held, Settled
    from worker.taking.hand import InHand


class Run:
    """A run. Without a check in hand it was called as a function, outside of a worker: nothing follows from it."""

    def __init__(self, in_hand: InHand | None = None) -> None:
        self._in_hand = in_hand
        self.task_id: str | None = in_hand.task_id if in_hand is not None else None
        #: appId of the check, once known
        self.appid: str | None = in_hand.held.appid if in_hand is not None else None
        #: what the run leaves at its end
        self.left = Left()
        #: its permit, to be settled with the next move, if its call is over or was not sent
        self.settled: Settled | None = None

    @property
    def in_hand(self) -> InHand:
        """The check in hand.

        Raises:
            RuntimeError: the task was called as a function.
        """
        if self._in_hand is None:
            raise RuntimeError("a check is sent by a worker; enqueue it with apply_async")
        return self._in_hand

    @property
    def held(self) -> Held:
        return self.in_hand.held


_local = threading.local()


@contextmanager
def run_begins(run: Run) -> Iterator[Run]:
    """Make ``run`` the run of this thread."""
    _local.run = run
    try:
        yield run
    finally:
        _local.run = None


def current_run() -> Run | None:
    """Return the run of this thread, or None."""
    run: Run | None = getattr(_local, "run", None)
    return run


def run_of(request: Any) -> Run | None:
    """Return the run of a task's request; None if the task was called as a function."""
    run: Run | None = (request.delivery_info or {}).get("run")
    return run
