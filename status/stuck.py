"""Work that should have gone on and did not: finishes, checks on the shelf, time-outs, queues.

finishing   media checks whose finish has not run for longer than two leases: ``count``, ``oldest_seconds``
shelved     checks taken off the shelf two leases ago that are not back in their queue: the same two numbers
due         checks due two leases ago, on the shelf or parked, that nobody has taken up: the same two numbers
ends        minutes, of the last few, in which a known end could not be stored
queues      name -> seconds without a message out of a queue that has messages, workers and open lanes

Each look costs O(log n), however many checks there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from store import keys
from store.shelf.shelf import LEASE

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Mapping

    from redis import Redis

#: leases after which work counts as stuck
LEASES = 2
#: least seconds for which a queue may stand: a call may take as long, and a worker starts in less
QUEUE_STANDS = 120.0
#: seconds after which a note on a queue no longer counts
SEEN = 600.0
#: minutes that are searched for ends that could not be stored
ENDS_MINUTES = 4
#: oldest entries that each look checks for being over
HEAD = 50

Stuck = dict[str, Any]


class Standing(NamedTuple):
    """A queue that should move, as far as the numbers say."""

    name: str
    messages: int | None
    #: time of the last message out of the queue, in seconds since the epoch
    moved_at: float


class StuckReader:
    """Finds stuck work. ``lease``: seconds in which a finish must have run."""

    def __init__(self, redis: Redis, lease: float) -> None:
        self._redis = redis
        self._lease = lease

    def read(
        self,
        now: float,
        latest: Mapping[str, float],
        minutes: Mapping[int, Counter[str]],
        queues: Iterable[Standing],
    ) -> Stuck:
        """Look for stuck work at ``now``, Redis' time in seconds since the epoch.

        ``latest``, ``minutes``: from :mod:`status.counted`. ``queues``: the queues with workers and open lanes.

        Raises:
            one of STORE_AWAY: the store does not answer.
        """
        self._forget_what_is_over(now)
        finishing_before, shelved_before = now - LEASES * self._lease, now - LEASES * LEASE
        return {
            "finishing": self._older(keys.HANGING, finishing_before, now),
            "shelved": self._older(keys.LATE, shelved_before, now),
            "due": self._due(now, min(finishing_before, shelved_before), latest),
            "ends": sum(counted["refused_end"] > 0 for counted in list(minutes.values())[-ENDS_MINUTES:]),
            "queues": self._standing(now, list(queues)),
        }

    def _older(self, key: str, before: float, now: float) -> dict[str, Any]:
        """Count the entries of a sorted set of times that are older than ``before``."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.zcount(key, "-inf", before)
            pipe.zrange(key, 0, 0, withscores=True)
            count, oldest = pipe.execute()
        return {"count": count, "oldest_seconds": now - oldest[0][1] if count else None}

    def _due(self, now: float, before: float, latest: Mapping[str, float]) -> dict[str, Any]:
        """Count due checks that nobody takes up; a long line that moves is not stuck."""
        found: dict[str, Any] = {"count": 0, "oldest_seconds": None}
        for key, place in ((keys.DUE, "due"), (keys.SHELF, "shelf")):
            older = self._older(key, before, now)
            if older["count"] and latest.get(f"moved|{place}", 0.0) < before:
                found["count"] += older["count"]
                found["oldest_seconds"] = max(found["oldest_seconds"] or 0.0, older["oldest_seconds"])
        return found

    def _forget_what_is_over(self, now: float) -> None:
        """Remove entries that have ended in another way since they were noted."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.zrange(keys.HANGING, 0, HEAD - 1)
            pipe.zrange(keys.LATE, 0, HEAD - 1)
            hanging, late = pipe.execute()
        if not hanging and not late:
            return
        with self._redis.pipeline(transaction=False) as pipe:
            for member in hanging:
                pipe.hget(keys.check(member), "state")
            for task_id in late:
                pipe.zscore(keys.SHELF, task_id)
            said = pipe.execute()
        ended = [member for member, state in zip(hanging, said, strict=False) if state != "finishing"]
        # a check that was shelved anew is due later than its lease ends
        back = [
            task_id for task_id, due in zip(late, said[len(hanging) :], strict=True) if due is None or due > now + LEASE
        ]
        for key, gone in ((keys.HANGING, ended), (keys.LATE, back)):
            if gone:
                self._redis.zrem(key, *gone)

    def _standing(self, now: float, queues: list[Standing]) -> dict[str, float]:
        """Note the time since which each queue stands, and return the queues that stand for too long."""
        seen = cast("dict[str, str]", self._redis.hgetall(keys.STANDING))
        notes = {}
        for queue in queues:
            if queue.messages:
                notes[queue.name] = stands_since(seen.get(queue.name), queue.moved_at, now)
        gone = [name for name in seen if name not in notes]
        with self._redis.pipeline(transaction=False) as pipe:
            if notes:
                pipe.hset(keys.STANDING, mapping={name: f"{since:.3f}@{now:.3f}" for name, since in notes.items()})
            if gone:
                pipe.hdel(keys.STANDING, *gone)
            if notes or gone:
                pipe.execute()
        longest = max(QUEUE_STANDS, LEASES * self._lease)
        return {name: now - since for name, since in notes.items() if now - since > longest}


def stands_since(seen: str | None, moved_at: float, now: float) -> float:
    """Return the time since which a queue with messages stands still, in seconds since the epoch. Pure.

    ``seen``: the last note on the queue, ``since@at``. ``moved_at``: time of the last message out of the queue.
    """
    if seen is None:
        return now
    since, _, at = seen.partition("@")
    if now - float(at) > SEEN or float(at) > now or moved_at >= float(since):
        return now
    return float(since)
