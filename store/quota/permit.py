"""A permit for one call, its refusal, and a process' view of the lane. Pure."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from config.lanes import Lane
    from store.records.records import RecordState


class Snooze(Exception):
    """No call now: come back in ``seconds``, with no attempt lost.

    ``why``: minute, day (the quota is used up), reserve (the rest of the day is not for low priority), closed (the
    platform said so), pause (the calls sent lately are not known), late (the process stood still).
    """

    def __init__(self, seconds: float, why: str) -> None:
        super().__init__(seconds, why)
        self.seconds = seconds
        self.why = why


class Permit(NamedTuple):
    """The right to make one call at one time. Times are of the process' monotonic clock, in seconds."""

    key: tuple[str, Lane]
    epoch: int
    bucket: int
    day: int
    #: seconds from the request to the send time
    ahead: float
    #: earliest time to send
    send_at: float
    #: latest time to begin the call
    begin_by: float
    #: latest time for the call's end
    over_by: float


class Reserved(NamedTuple):
    """A call that a run has reserved, with token and record (``store/quota/reserve.lua``)."""

    #: None: nothing is reserved, since there is no shared token to use
    permit: Permit | None
    #: answer of ``store/tokens/take.lua``
    token: list[Any]
    #: state of the check's record; None if there is no permit
    record: RecordState | None


class LaneView:
    """The view of a lane by this process. Claims about the day outlive a loss of the lane's state in Redis."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.epoch = 0
        self.day = 0
        self.used = 0
        #: number of further times to ask for the platform's own count, since the lane's state is new; time of the next
        self.asks = 0
        self.ask_at = 0.0
        #: the lane's state has yet to hear this process' count of the day
        self.claims = False
        #: time of the next permit, and time until which that holds; for checks of low priority (True), and others
        self.none_until = {False: (0.0, 0.0), True: (0.0, 0.0)}
        #: bucket, time of the answer (monotonic, None: never sent), day
        self.ended: deque[tuple[int, float | None, int]] = deque()

    def learn(self, epoch: int, day: int, used: int, *, asks: int) -> None:
        """Take in the lane's state. ``asks``: number of times to ask for the platform's count, if the state is new."""
        with self.lock:
            if epoch != self.epoch:
                # permits of a state that is gone
                self.ended.clear()
                self.epoch = epoch
                self.asks, self.ask_at = asks, 0.0
                # the new state has not heard this process' count of the day
                self.claims = self.day > 0
            if (day, used) > (self.day, self.used):
                self.day, self.used = day, used

    def claim(self, used: int) -> bool:
        """Take in the platform's count of ``used`` calls for the known day; True if that is more than known."""
        with self.lock:
            more = self.day > 0 and used > self.used
            if more:
                self.used = used
                self.claims = True
        return more
