"""The day of the platform's quotas, which begins at midnight in Shanghai. Shanghai has no summer time."""

from __future__ import annotations

import math
from datetime import timedelta, timezone

#: seconds
DAY = 86_400
#: seconds that Shanghai is ahead of UTC
SHANGHAI = 8 * 3600
#: Shanghai's time zone, in which times are shown to people
SHANGHAI_ZONE = timezone(timedelta(seconds=SHANGHAI))


def day_of(at: float) -> int:
    """Return the number of the Shanghai day that holds ``at``, a time in seconds since the epoch."""
    return math.floor((at + SHANGHAI) / DAY)


def seconds_of_day(at: float) -> float:
    """Return the seconds from midnight in Shanghai to ``at``."""
    return (at + SHANGHAI) % DAY


def next_midnight(at: float) -> float:
    """Return the next midnight in Shanghai after ``at``, both in seconds since the epoch."""
    return (day_of(at) + 1) * DAY - SHANGHAI
