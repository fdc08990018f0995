"""A run of a task that deals with a check, from the take to the move."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from worker.ending.left import Left

if TYPE_CHECKING:
    from collections.abc import Iterator

    from store.places.forms import Settled
    from worker.taking.hand import InHand


class Run:
    """A run of a task with a check in hand."""

    def __init__(self, in_hand: InHand) -> None:
        self.in_hand = in_hand
        self.held = in_hand.held
        self.task_id = in_hand.task_id
        #: '': not known
        self.appid = in_hand.held.appid
        #: what the run leaves at its end
        self.left = Left()
        #: its permit, to be settled with the next move, if its call is over or was not sent
        self.settled: Settled | None = None


_run: ContextVar[Run | None] = ContextVar("run", default=None)
#: returns the run of this thread, or None
current_run = _run.get


@contextmanager
def run_begins(run: Run) -> Iterator[None]:
    """Make ``run`` the run of this thread."""
    token = _run.set(run)
    try:
        yield
    finally:
        _run.reset(token)
