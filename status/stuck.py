"""What should have been brought on and was not: finishes, checks on the shelf, time-outs, queues.

finishing   media checks whose finish has not run for longer than two leases: ``count``, ``oldest_seconds``
shelved     checks that were taken off the shelf so long ago and are not back in their queue: the same
due         what is due so long ago and nobody has taken up, be it on the shelf or waiting for a push: the same
ends        minutes of the last few in which an end that is known could not be stored
queues      seconds for which nothing has come out of a queue with messages, workers and open lanes, by its name

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

#: leases after which something counts as stuck
LEASES = 2
#: seconds for which a queue may stand at least: a call may take that long, and a worker is started in less
QUEUE_STANDS = 120.0
#: seconds after which what was seen of a queue says nothing any more
SEEN = 600.0
#: minutes that are looked at for ends that could not be stored
ENDS_MINUTES = 4
#: entries that are looked at for some that are over
HEAD = 50

Stuck = dict[str, Any]


class Standing(NamedTuple):
    """A queue that can be worked on, as far as the numbers say."""

    name: str
    messages: int | None
    #: when something came out of it last, in seconds since the epoch
    moved_at: float


class StuckReader:
    """Reads it. ``lease``: seconds in which a finish must have run."""

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
        """``latest``, ``minutes``: of :mod:`status.counted`. ``queues``: those that have workers and open lanes.

        Raises:
            one of STORE_AWAY.
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
        """Entries of a sorted set of times that are older than ``before``."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.zcount(key, "-inf", before)
            pipe.zrange(key, 0, 0, withscores=True)
            count, oldest = pipe.execute()
        return {"count": count, "oldest_seconds": now - oldest[0][1] if count else None}

    def _due(self, now: float, before: float, latest: Mapping[str, float]) -> dict[str, Any]:
        """What nobody takes up, though it is due; a long line that moves is none."""
        found: dict[str, Any] = {"count": 0, "oldest_seconds": None}
        for key, place in ((keys.DUE, "due"), (keys.SHELF, "shelf")):
            older = self._older(key, before, now)
            if older["count"] and latest.get(f"moved|{place}", 0.0) < before:
                found["count"] += older["count"]
                found["oldest_seconds"] = max(found["oldest_seconds"] or 0.0, older["oldest_seconds"])
        return found

    def _forget_what_is_over(self, now: float) -> None:
        """Takes out what has ended in another way since it was noted."""
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
        # one that was laid there anew comes up later than its lease ends
        back = [
            task_id for task_id, due in zip(late, said[len(hanging) :], strict=True) if due is None or due > now + LEASE
        ]
        for key, gone in ((keys.HANGING, ended), (keys.LATE, back)):
            if gone:
                self._redis.zrem(key, *gone)

    def _standing(self, now: float, queues: list[Standing]) -> dict[str, float]:
        """Notes since when each queue stands; those that have stood for too long."""
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
    """Since when a queue with messages stands still, in seconds since the epoch. Pure.

    ``seen``: what was noted of it last, ``since@at``. ``moved_at``: when something came out of it last.
    """
    if seen is None:
        return now
    since, _, at = seen.partition("@")
    if now - float(at) > SEEN or float(at) > now or moved_at >= float(since):
        return now
    return float(since)
