"""The queues of checks' follow-ups. The application names them, and perhaps nobody consumes them."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, cast

from store import keys

if TYPE_CHECKING:
    from redis import Redis

#: most queues that are remembered: the latest used
MOST = 100
#: prefix of the project's own queues and tasks, which :mod:`status.queues` watches
OWN = "wxcheck."


class FollowUps:
    """The queues of this process' follow-ups. Safe to share between threads."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._lock = threading.Lock()
        self._new: set[str] = set()

    def note(self, queue: str) -> None:
        """Note that a follow-up goes to ``queue``; costs no round trip."""
        with self._lock:
            if len(self._new) < MOST and not queue.startswith(OWN):
                self._new.add(queue)

    def write(self) -> None:
        """Write the noted queues to the store.

        Raises:
            one of STORE_AWAY: the store does not answer; the queues are kept for the next time.
        """
        with self._lock:
            new = {*self._new}
        if not new:
            return
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.zadd(keys.FOLLOW_UPS, dict.fromkeys(new, time.time()))
            pipe.zremrangebyrank(keys.FOLLOW_UPS, 0, -MOST - 1)
            pipe.execute()
        with self._lock:
            self._new -= new


def queues_of_follow_ups(redis: Redis) -> list[str]:
    """Return the queues of all processes' follow-ups, the latest used first."""
    return cast("list[str]", redis.zrevrange(keys.FOLLOW_UPS, 0, MOST - 1))
