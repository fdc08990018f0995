"""``overdue``: 100,000 parked checks time out at once, beside new pictures. One worker.

The checks are copies of one that is really parked, with its follow-up and its errback; nobody consumes the errback's
queue. From the moment at which all are due to the last of their ends. Meanwhile a new picture is put four times a
second, pushed 0.2 s after its answer: from the put to the start of its follow-up. Copies: errbacks beyond one for each.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from bench.overhead import checks, names
from bench.overhead.outcome import Measured, Row, Target, percentile
from bench.overhead.parked import bulk, park_one
from bench.overhead.side import LIFTED, Side
from store.places.shard import SHARD

if TYPE_CHECKING:
    from bench.holding.scale import Scale
    from bench.overhead.side import Options

EVERY, PUSH_AFTER = 0.25, 0.2
#: seconds in all, for 100,000
LONGEST, OF = 200.0, 100_000
#: entries whose deadline is set in one step
PART = 1_000
PARKED = SHARD.key("parked")


def run(scale: Scale, options: Options) -> Measured:
    """Parks, and lets the deadlines come."""
    settings = {**LIFTED, "WXCHECK_PUSH_TIMEOUT": "864000"}
    with Side("wxcheck", options, endpoint=True, application=True, settings=settings) as side:
        side.media = checks.media(side.url, errback=True)
        bulk(side, park_one(side), scale.overdue)
        side.tell_platform("set", push_after=[PUSH_AFTER, PUSH_AFTER])
        overdue = scale.overdue + 1
        ids = [task_id for task_id, _ in side.redis.zscan_iter(PARKED, count=PART)]
        began = time.time()
        for first in range(0, overdue, PART):
            side.redis.zadd(PARKED, dict.fromkeys(ids[first : first + PART], began * 1000), xx=True)
        put_at, number = {}, side.counts()["media"]
        while (left := side.redis.llen(names.ERRBACK_QUEUE)) < overdue:
            put_at[number] = time.time()
            side.put(side.media, 1)
            number += 1
            side.check()
            if time.time() - began > 5 * LONGEST:
                raise ValueError(f"overdue: {left} of {overdue} have ended after {5 * LONGEST:.0f} s")
            time.sleep(EVERY)
        seconds = time.time() - began
        side.wait("the last pictures are followed", lambda: side.ends.count() >= len(put_at))
        chains = [note.at - put_at[note.number] for note in side.ends.fresh()]
        errbacks = side.redis.lrange(names.ERRBACK_QUEUE, 0, -1)
    distinct = {json.loads(message)["headers"]["parent_id"] for message in errbacks}
    title = f"{scale.overdue:,} parked checks time out at once"
    within = Target("at most", LONGEST * scale.overdue / OF + 2, of_value=True)
    return Measured(
        [
            Row("overdue", f"{title}: all have ended", "s", [seconds], target=within),
            Row("overdue", f"{title}: each", "ms", [seconds / overdue * 1000]),
            Row(
                "overdue",
                f"{title}: a new picture to its follow-up, p95 of {len(chains)}",
                "s",
                [percentile(chains, 0.95)],
                target=Target("at most", 2, of_value=True),
            ),
            Row(
                "overdue",
                f"{title}: copies of what follows",
                "",
                [len(errbacks) - len(distinct) + abs(overdue - len(distinct))],
                target=Target("at most", 0, of_value=True),
            ),
        ],
        {"chains": chains},
    )
