"""Work that should have gone on and did not, by place.

inbox    queue -> seconds without a message out of a queue that has messages and workers
lanes    text | media -> lanes that might have sent for longer than STANDS: ``count``, ``oldest_seconds``
ready    text | media | push -> checks whose end has been known for so long and is not told: the same two numbers
due      checks whose time in their place was over so long ago, and that nobody brings on: the same
outbox   entries of the outbox that were not published or stored for so long, among the first ones: the same
ends     minutes, of the last few, in which a known end could not be stored

Each look costs O(log n), however many checks there are.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from config.lanes import LANES
from store import keys
from store.places.forms import KEEP_ENDED
from store.places.shard import RANK

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Mapping

    from redis import Redis

    from store.places.shard import Shard

#: seconds for which work may stand: a run that died has its check for as long
STANDS = 120.0
#: seconds after which a note on a queue no longer counts
SEEN = 600.0
#: minutes that are searched for ends that could not be stored
ENDS_MINUTES = 4
#: sets by time of which a sweeper brings on what is due
BY_TIME = ("shelf", "parked", "hand")
#: number of the ranks of checks whose end is known
RANKS = 3
#: entries of the outbox that are looked at
HEAD = 200

Stuck = dict[str, Any]


class Standing(NamedTuple):
    """A queue that should move, as far as the numbers say."""

    name: str
    messages: int | None
    #: time of the last message out of the queue, in seconds since the epoch
    moved_at: float


class StuckReader:
    """Finds stuck work in one shard."""

    def __init__(self, redis: Redis, shard: Shard) -> None:
        self._redis = redis
        self._shard = shard

    def read(
        self,
        now: float,
        latest: Mapping[str, float],
        minutes: Mapping[int, Counter[str]],
        queues: Iterable[Standing],
    ) -> Stuck:
        """Look for stuck work at ``now``, Redis' time in seconds since the epoch.

        ``latest``, ``minutes``: from :mod:`status.counted`. ``queues``: the queues with workers.

        Raises:
            one of STORE_AWAY: the store does not answer.
        """
        # a long line that moves is not stuck
        still = [name for name in BY_TIME if latest.get(f"moved|{name}", 0.0) < now - STANDS]
        return {
            "inbox": self._standing(now, list(queues)),
            "lanes": {kind: self._late(now, [(f"open:{kind}", 0)]) for kind in LANES},
            "ready": {
                queue: self._late(now, [(f"ready:{queue}", rank * RANK) for rank in range(RANKS)])
                for queue in (*LANES, "push")
            },
            "due": self._late(now, [(name, 0) for name in still]),
            "outbox": self._outbox(now),
            "ends": sum(counted["refused_end"] > 0 for counted in list(minutes.values())[-ENDS_MINUTES:]),
        }

    def _late(self, now: float, asked: list[tuple[str, int]]) -> dict[str, Any]:
        """Count what came up for longer than STANDS ago, in each of these sets from so high a score on."""
        before = (now - STANDS) * 1000
        with self._redis.pipeline(transaction=False) as pipe:
            for name, rank in asked:
                pipe.zcount(self._shard.key(name), rank, rank + before)
                pipe.zrange(self._shard.key(name), rank, rank + before, byscore=True, offset=0, num=1, withscores=True)
            said = pipe.execute()
        oldest = [score - rank for (_, rank), found in zip(asked, said[1::2], strict=True) for _, score in found]
        return {"count": sum(said[::2]), "oldest_seconds": now - min(oldest) / 1000 if oldest else None}

    def _outbox(self, now: float) -> dict[str, Any]:
        """Count the entries of the outbox whose checks ended long ago. A mark that is gone is older than all."""
        entries = cast("list[str]", self._redis.zrange(self._shard.key("outbox_due"), 0, HEAD - 1))
        ids = [entry.rpartition(":")[0].rpartition(":")[0] for entry in entries]
        marks = cast("list[str | None]", self._redis.hmget(self._shard.key("checks"), ids)) if ids else []
        ages = [now - json.loads(mark).get("since", now * 1000) / 1000 if mark else KEEP_ENDED for mark in marks]
        late = [age for age in ages if age > STANDS]
        return {"count": len(late), "oldest_seconds": max(late, default=None)}

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
        return {name: now - since for name, since in notes.items() if now - since > STANDS}


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
