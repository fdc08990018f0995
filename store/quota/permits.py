"""The bounds of the permits. ``docs/quotas.md`` proves that the calls that arrive stay within the quota.

A *lane* is one appId's texts, or its media. The calls that *arrive* at the platform must stay within the quota, so a
permit is taken before the call and counts until one window after the latest moment at which the call can have arrived:
the answer, or without an answer the planned send and the time-out. Redis reserves the send times, evenly spaced
(``store/places/take.lua``), and the caller sleeps until its own.
"""

from __future__ import annotations

#: seconds of the window in which the platform counts
WINDOW = 60.0
#: seconds that a send time may lie ahead; a backfill looks less far ahead, so that users' posts come first
LOOK_AHEAD = 0.3
LOOK_AHEAD_LOW = 0.2
#: seconds after its send time within which a call must have begun; else its permit goes back unused
START = 1.0
#: seconds after the end of a call for dealing with its answer
MARGIN = 10.0
#: number of times to ask for the platform's count of a new lane, until the platform tells it; seconds between two times
ASKED, ASK_AGAIN = 3, 10.0
#: Celery's priorities on Redis, where 0 is the highest: from this one on a check belongs to a backfill
BACKFILL_PRIORITY = 6
#: seconds before a step is tried again after the store was away
STORE_PAUSE = 1.0
#: seconds for which an appId is not called after the platform refused it altogether
STOP_SECONDS = 10
#: seconds of a lowered rate after the platform has refused a call: somebody else spends the same quota
CUT_SECONDS = 600
#: seconds after midnight in Shanghai in which the platform's count of the new day misses calls of the last minute
MIDNIGHT_MARGIN = 60
