"""The day of the platform's quotas, which begins at midnight in Shanghai. Shanghai has no summer time."""

from __future__ import annotations

import math
from datetime import timedelta, timezone

#: seconds
DAY = 86_400
#: seconds that Shanghai is ahead of UTC
SHANGHAI = 8 * 3600
#: the same as a time zone, in which people are shown times
SHANGHAI_ZONE = timezone(timedelta(seconds=SHANGHAI))


def day_of(at: float) -> int:
    """The number of the day in Shanghai that a time is of, in seconds since the epoch."""
    return math.floor((at + SHANGHAI) / DAY)


def seconds_of_day(at: float) -> float:
    """Seconds since midnight in Shanghai."""
    return (at + SHANGHAI) % DAY


def next_midnight(at: float) -> float:
    """The time at which the day after that of ``at`` begins, in seconds since the epoch."""
    return (day_of(at) + 1) * DAY - SHANGHAI
