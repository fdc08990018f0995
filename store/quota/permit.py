"""A permit for one call, its refusal, and what a process knows of the lane that they are of. Pure."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from config.lanes import Lane
    from store.records.records import RecordState


class Snooze(Exception):
    """No call now: come back in ``seconds``, with no attempt lost.

    ``why``: minute, day (the quota is used up), reserve (what is left of the day is not for low priority), closed
    (the platform said so), pause (what was sent lately is not known).
    """

    def __init__(self, seconds: float, why: str) -> None:
        super().__init__(seconds, why)
        self.seconds = seconds
        self.why = why


class Permit(NamedTuple):
    """Leave for one call. Times are of the process' monotonic clock, in seconds."""

    key: tuple[str, Lane]
    epoch: int
    bucket: int
    day: int
    #: seconds that its send time lay ahead when it was asked for
    ahead: float
    #: not to be sent earlier
    send_at: float
    #: not to be begun later
    begin_by: float
    #: by then the call must be over
    over_by: float


class Reserved(NamedTuple):
    """A call that a run has reserved, with all that it needs (``store/quota/reserve.lua``)."""

    #: None, and nothing is reserved: there is no shared token to use
    permit: Permit | None
    #: reply of ``store/tokens/take.lua``
    token: list[Any]
    #: state of the check's record; None where there is no permit
    record: RecordState | None


class LaneView:
    """What this process knows of a lane; its claims outlive a loss of the state in Redis."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.epoch = 0
        self.day = 0
        self.used = 0
        #: how often the platform's own count may yet be asked for, since the lane's state is new, and when next
        self.asks = 0
        self.ask_at = 0.0
        #: whether the state has yet to hear what this process has seen of the day
        self.claims = False
        #: when there is a permit again, and until when that is believed; for checks of low priority (True), and others
        self.none_until = {False: (0.0, 0.0), True: (0.0, 0.0)}
        #: bucket, when it was answered (monotonic, None: never sent), day
        self.ended: deque[tuple[int, float | None, int]] = deque()

    def learn(self, epoch: int, day: int, used: int, *, asks: int) -> None:
        """``asks``: how often the platform is to be asked for its count."""
        with self.lock:
            if epoch != self.epoch:
                # permits of a state that is gone
                self.ended.clear()
                self.epoch = epoch
                self.asks, self.ask_at = asks, 0.0
                # what it has seen of the day before
                self.claims = self.day > 0
            if (day, used) > (self.day, self.used):
                self.day, self.used = day, used

    def claim(self, used: int) -> bool:
        """The platform counts ``used`` calls for the day that is known; whether that is more than was known."""
        with self.lock:
            more = self.day > 0 and used > self.used
            if more:
                self.used = used
                self.claims = True
        return more
