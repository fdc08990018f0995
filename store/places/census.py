"""The census of the places: how many checks are where, and which have been there for longest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from config.lanes import LANES
from store.places.shard import RANK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from redis import Redis

    from config.lanes import Lane
    from store.places.forms import Queue
    from store.places.shard import Shard

#: checks that are read at once
BATCH = 500
#: entries of a set that are read to find the oldest
HEAD = 200


class Counts(NamedTuple):
    """The number of checks in each place."""

    #: of each lane that was asked for, in its order
    lanes: list[int]
    #: of all other lanes: the settings do not know their appIds any more
    other_lanes: int
    ready: dict[Queue, int]
    hand: int
    shelf: int
    parked: int
    #: entries that are still to be published or stored elsewhere
    outbox: int
    #: seconds since the oldest of the first HEAD parked checks was parked; None: there is none
    oldest_parked: float | None


class Waiting(NamedTuple):
    """A media check that is parked, or whose wait is over and whose end is not told yet. Times are since the epoch."""

    appid: str
    trace_id: str
    task_id: str
    #: parked | ready
    place: str
    #: time of the parking
    since: float
    #: time until which its push may come; of a ready one, the time at which its wait was over
    due: float


class Census:
    """Reads the places of one shard."""

    def __init__(self, redis: Redis, shard: Shard) -> None:
        self._redis = redis
        self._shard = shard

    def counts(self, lanes: Sequence[tuple[Lane, str]], now: float) -> Counts:
        """Count the checks of each place, and those of ``lanes``. ``now``: Redis' time, in seconds since the epoch."""
        queues: tuple[Queue, ...] = ("text", "media", "push")
        every = list(dict.fromkeys([*lanes, *self.lanes()]))
        with self._redis.pipeline(transaction=False) as pipe:
            for kind, appid in every:
                pipe.zcard(self._shard.of_lane(kind, appid)[0])
            for queue in queues:
                pipe.zcard(self._shard.key(f"ready:{queue}"))
            for name in ("hand", "shelf", "parked", "outbox_due"):
                pipe.zcard(self._shard.key(name))
            pipe.zrange(self._shard.key("parked"), 0, HEAD - 1)
            *said, head = pipe.execute()
        of_lanes, ready, others = said[: len(every)], said[len(every) : len(every) + 3], said[len(every) + 3 :]
        since = [check["since"] / 1000 for _, check in self._checks(head) if "since" in check]
        return Counts(
            lanes=of_lanes[: len(lanes)],
            other_lanes=sum(of_lanes[len(lanes) :]),
            ready=dict(zip(queues, ready, strict=True)),
            hand=others[0],
            shelf=others[1],
            parked=others[2],
            outbox=others[3],
            oldest_parked=max(0.0, now - min(since)) if since else None,
        )

    def lanes(self) -> list[tuple[Lane, str]]:
        """Return the lanes in which checks wait."""
        return [
            (kind, str(appid))
            for kind in LANES
            for appid in cast("list[str]", self._redis.zrange(self._shard.key(f"open:{kind}"), 0, -1))
        ]

    def waiting(self) -> Iterator[Waiting]:
        """Yield the media checks that are parked, the next one due first; before them those whose wait is over."""
        for place, name in (("ready", "ready:push"), ("parked", "parked")):
            for task_id, score, check in self._each(name):
                due, since = score % RANK / 1000, check["since"] / 1000
                yield Waiting(check["appid"], check["trace"], task_id, place, since, due)

    def of_lane(self, kind: Lane, appid: str) -> Iterator[str]:
        """Yield the ids of the checks that wait in a lane, the last one first: workers take from the other end."""
        start = 0
        while found := self._redis.zrange(self._shard.of_lane(kind, appid)[0], start, start + BATCH - 1, desc=True):
            start += BATCH
            yield from cast("list[str]", found)

    def on_shelf(self, kind: Lane, appid: str | None = None) -> Iterator[str]:
        """Yield the ids of the checks on the shelf that come back to the lane of an appId, or to those of all."""
        for task_id, _, check in self._each("shelf"):
            if check["kind"] == kind and appid in (None, check["appid"]):
                yield task_id

    def due_at(self, name: str, entry: str) -> float | None:
        """Return the time of an entry in a set by time (hand, shelf, parked, open:…); None if it is not there."""
        score = self._redis.zscore(self._shard.key(name), entry)
        return None if score is None else float(score) / 1000

    def rank(self, kind: Lane, appid: str, task_id: str) -> int | None:
        """Return the number of checks before one in its lane."""
        found = self._redis.zrank(self._shard.of_lane(kind, appid)[0], task_id)
        return None if found is None else int(cast("int", found))

    def is_in_outbox(self, task_id: str, run: str) -> bool:
        """True if something of what a run left at the end of a check is still to be published or stored."""
        return bool(self._redis.hexists(self._shard.key("outbox"), f"{task_id}:{run}"))

    def message(self, task_id: str) -> dict[str, Any] | None:
        """Return the message of a check, as it is kept (:mod:`worker.messages`)."""
        text = cast("str | None", self._redis.hget(self._shard.key("messages"), task_id))
        return json.loads(text) if text is not None else None

    def _each(self, name: str) -> Iterator[tuple[str, float, dict[str, Any]]]:
        start = 0
        while found := cast(
            "list[tuple[str, float]]",
            self._redis.zrange(self._shard.key(name), start, start + BATCH - 1, withscores=True),
        ):
            start += BATCH
            scores = dict(found)
            for task_id, check in self._checks(list(scores)):
                yield task_id, scores[task_id], check

    def _checks(self, task_ids: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        if not task_ids:
            return
        texts = cast("list[str | None]", self._redis.hmget(self._shard.key("checks"), task_ids))
        for task_id, text in zip(task_ids, texts, strict=True):
            if text is not None:
                yield task_id, json.loads(text)
