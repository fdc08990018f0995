"""A permit for one call, and a process' view of the lane. Pure."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass
class LaneView:
    """The view of a lane by this process. Claims about the day outlive a loss of the lane's state in Redis."""

    epoch: int = 0
    day: int = 0
    used: int = 0
    #: number of further times to ask for the platform's own count, since the lane's state is new; time of the next
    asks: int = 0
    ask_at: float = 0.0
    #: the lane's state has yet to hear this process' count of the day
    claims: bool = False
