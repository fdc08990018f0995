"""A permit for one call, and a process' view of the lane. Pure."""

from __future__ import annotations

import threading
from typing import NamedTuple


class Permit(NamedTuple):
    """The right to make one call at one time. Times are of the process' monotonic clock, in seconds."""

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

    def learn(self, epoch: int, day: int, used: int, *, asks: int) -> None:
        """Take in the lane's state. ``asks``: number of times to ask for the platform's count, if the state is new."""
        with self.lock:
            if epoch != self.epoch:
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
