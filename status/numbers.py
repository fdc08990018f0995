"""All numbers of the board, read from Redis and the broker into one dict of JSON values.

at, version      time of the reading, in seconds since the epoch by Redis' clock
stale_seconds    0; the board sets more if the store is away
troubles         faults and doubts, the worst first (:mod:`status.troubles`)
lanes            of each appId and lane: quota, state, backlog, the last hour by the minute
queues           messages that are not filed yet (None if the broker is away), checks that are ready, and workers
waiting          checks that wait for their push, and pushes by outcome
places           checks in each place: inbox (None if the broker is away), lanes, shelf, in_hand, parked, ready, outbox
follow_ups       queues with follow-ups of checks that nobody consumes (:mod:`status.follow_ups`)
stuck            work that should have gone on and did not (:mod:`status.stuck`)
verdicts, failures, processes, dead
"""

from __future__ import annotations

import json
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, cast

from config.celery import SOCKET_TIMEOUT
from config.lanes import QUEUE_OF, QUEUES, READY_OF
from status.counted import Counted, Rings
from status.follow_ups import FollowUpQueues
from status.lanes import QUOTA, Stored, curve, lane_numbers
from status.pushes import delays, push_counts
from status.queues import BrokerAway, Queues
from status.remedies import remedy
from status.stuck import Standing, StuckReader
from status.troubles import Evidence, find_troubles
from store import keys
from store.connection import connect, run_id
from store.places.census import Census, Counts
from store.places.shard import SHARD
from store.quota.rates import Rates
from store.watch.presence import Presence, known
from store.watch.redis_health import told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Celery

    from config.lanes import Lane
    from config.settings import MiniProgram, Settings

#: number of the newest failures that are shown
NEWEST = 20
#: seconds between two looks at Redis' health: persistence, eviction
HEALTH_INTERVAL = 30.0


class Numbers:
    """Reads all numbers anew each time. Not safe to share between threads.

    ``waits``: a reading waits for workers' answers, for a second or two.
    """

    def __init__(self, settings: Settings, celery_app: Celery, *, waits: bool = True) -> None:
        self._settings = settings
        self._redis = connect(settings.redis_url, SOCKET_TIMEOUT)
        # the ring of a lane is no text
        self._bytes = connect(settings.redis_url, SOCKET_TIMEOUT, retries=1, text=False)
        self._rings = Rings(self._redis)
        self._rates = Rates(self._redis)
        self._queues = Queues(settings, celery_app)
        self._follow_ups = FollowUpQueues(self._redis, self._queues, celery_app, waits=waits)
        self._census = Census(self._redis, SHARD)
        self._stuck = StuckReader(self._redis, SHARD)
        self._faults: list[str] = []
        self._look_at = 0.0

    def read(self) -> dict[str, Any]:
        """Read all numbers.

        Raises:
            one of STORE_AWAY: the store does not answer.
        """
        seconds, microseconds = self._redis.time()
        now = float(seconds + microseconds / 1e6)
        counted = self._rings.read(now)
        processes = known(self._redis)
        lengths, taken, away = self._lengths()
        asked = self._asked()
        counts = self._census.counts([(lane, program.appid) for program, lane in asked], now)
        lanes = self._lanes(asked, counts, counted, now)
        ready = {READY_OF[queue]: number for queue, number in counts.ready.items()}
        queues = _queues(lengths, ready, processes)
        numbers: dict[str, Any] = {
            "at": now,
            "version": version("wxcheck"),
            "stale_seconds": 0,
            "lanes": lanes,
            "queues": queues,
            "waiting": _waiting(counts, counted),
            "places": _places(counts, lengths, taken),
            "stuck": self._stuck.read(now, counted.latest, counted.minutes, _served(queues, counted.latest)),
            "follow_ups": self._unconsumed() if away is None else [],
            "verdicts": _verdicts(counted),
            "failures": {"classes": _failure_classes(counted), "newest": self._newest_failures()},
            "processes": [_process(process) for process in processes if process.age < 60],
            "dead": self._redis.zcard(keys.DEAD),
        }
        fault, mend = (str(away), away.remedy) if away is not None else (None, None)
        evidence = Evidence(counted.latest, counted.minutes, self._redis_faults(), fault, mend)
        return {**numbers, "troubles": find_troubles(numbers, evidence)}

    def totals(self) -> dict[str, int]:
        """Return the lifetime totals by field of :mod:`store.watch.statistics`.

        Raises:
            one of STORE_AWAY: the store does not answer.
        """
        return self._rings.totals()

    def _lengths(self) -> tuple[dict[str, int | None], int, BrokerAway | None]:
        """Return the length of each queue of the inbox, the number of messages taken and not filed, and the error."""
        try:
            return {**self._queues.lengths(QUEUES)}, self._queues.taken(), None
        except BrokerAway as away:
            return dict.fromkeys(QUEUES), 0, away

    def _unconsumed(self) -> list[dict[str, Any]]:
        try:
            return [found._asdict() for found in self._follow_ups.unconsumed()]
        except BrokerAway:
            return []  # the broker went away since the look at its queues

    def _asked(self) -> list[tuple[MiniProgram, Lane]]:
        return [(program, lane) for program in self._settings.programs.values() for lane in QUEUE_OF]

    def _lanes(
        self, asked: list[tuple[MiniProgram, Lane]], counts: Counts, counted: Counted, now: float
    ) -> list[dict[str, Any]]:
        with self._redis.pipeline(transaction=False) as pipe, self._bytes.pipeline(transaction=False) as rings:
            for program, lane in asked:
                _, quota_key, ring_key, *_ = SHARD.of_lane(lane, program.appid)
                pipe.hmget(quota_key, *QUOTA)
                rings.get(ring_key)
            stored = zip(pipe.execute(), rings.execute(), strict=True)
        run = run_id(self._redis) or ""
        lanes = []
        for (program, lane), (values, ring), backlog in zip(asked, stored, counts.lanes, strict=True):
            quota = {field: value for field, value in zip(QUOTA, values, strict=True) if value is not None}
            per_minute, per_day, _ = self._rates.of(program, lane)
            told = lane_numbers(Stored(quota, ring or b"", run), per_minute, per_day, now)
            opens_in = max(0.0, (told["opens_at"] or now) - now)
            seconds = backlog * 60 / told["minute"]["limit"]
            lanes.append(
                {
                    "appid": program.appid,
                    "lane": lane,
                    **told,
                    "backlog": backlog,
                    "backlog_seconds": seconds + opens_in if seconds else seconds,
                    "hour": curve(counted.minutes, program.appid, lane),
                }
            )
        return lanes

    def _newest_failures(self) -> list[dict[str, Any]]:
        newest = []
        for text in cast("list[str]", self._redis.lrange(keys.FAILURES, 0, NEWEST - 1)):
            failure = json.loads(text)
            newest.append({**failure, "remedy": remedy(failure["name"], failure["errcode"])})
        return newest

    def _redis_faults(self) -> list[str]:
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + HEALTH_INTERVAL
            self._faults = told(self._redis)
        return self._faults


def _waiting(counts: Counts, counted: Counted) -> dict[str, Any]:
    return {
        "count": counts.parked,
        "oldest_seconds": counts.oldest_parked,
        "hour": push_counts(counted.hour),
        "day": push_counts(counted.day),
        "delay": delays(counted.hour),
    }


def _places(counts: Counts, lengths: dict[str, int | None], taken: int) -> dict[str, int | None]:
    """Return the number of checks in each place; in the inbox there are pushes, too."""
    return {
        "inbox": None if None in lengths.values() else taken + sum(length or 0 for length in lengths.values()),
        "lanes": sum(counts.lanes) + counts.other_lanes,
        "shelf": counts.shelf,
        "in_hand": counts.hand,
        "parked": counts.parked,
        "ready": sum(counts.ready.values()),
        "outbox": counts.outbox,
    }


def _queues(lengths: dict[str, int | None], ready: dict[str, int], processes: list[Presence]) -> list[dict[str, Any]]:
    workers = [process for process in processes if process.kind == "worker" and process.is_alive]
    return [
        {
            "name": name,
            "messages": messages,
            "ready": ready[name],
            "workers": sum(name in of.queues for of in workers),
        }
        for name, messages in lengths.items()
    ]


def _served(queues: list[dict[str, Any]], latest: dict[str, float]) -> Iterator[Standing]:
    """Yield the queues with workers, whose messages should move whatever the lanes' state."""
    for queue in queues:
        if queue["workers"]:
            name = queue["name"]
            yield Standing(name, queue["messages"], latest.get(f"moved|{name}", 0.0))


def _verdicts(counted: Counted) -> list[dict[str, Any]]:
    verdicts = []
    for field, day in sorted(counted.day.items()):
        name, *parts = field.split("|")
        if name == "verdict":
            kind, suggest, label = parts
            shown = int(label) if label.isdigit() else label
            hour = counted.hour[field]
            verdicts.append({"kind": kind, "suggest": suggest, "label": shown, "hour": hour, "day": day})
    return verdicts


def _failure_classes(counted: Counted) -> list[dict[str, Any]]:
    classes = []
    for field, day in counted.day.most_common():
        kind, *parts = field.split("|")
        if kind == "failed":
            name, said = parts
            errcode = int(said) if said.lstrip("-").isdigit() else None
            told = remedy(name, errcode)
            shown = errcode if errcode is not None else said or None
            classes.append({"name": name, "errcode": shown, "hour": counted.hour[field], "day": day, "remedy": told})
    return classes


def _process(process: Presence) -> dict[str, Any]:
    return {
        "name": process.name,
        "kind": process.kind,
        "queues": process.queues,
        "pool": process.pool,
        "slots": process.slots,
        "version": process.version,
        "at": process.at,
        "age_seconds": max(0.0, process.age),
        "clock_offset_seconds": process.clock_offset,
        "servers": {role: server._asdict() for role, server in process.servers.items()},
    }
