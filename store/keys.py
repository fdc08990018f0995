"""Every key that wxcheck keeps in Redis, but for those of a shard (:mod:`store.places.shard`) and of the inbox.

Celery's own keys (queues, results) belong to Celery.
"""

from __future__ import annotations

#: hash: counts of events over the whole cluster, a field each (:mod:`store.watch.counters`)
COUNTERS = "wxcheck:counters"

#: hash: queue -> ``since@at``: since then the queue has had messages, workers and open lanes, and no message came out;
#: at: time of the last look (:mod:`status.stuck`)
STANDING = "wxcheck:standing"

#: sorted set: task id of each check that can be replayed, by the time of its failure (:mod:`store.dead_letters`)
DEAD = "wxcheck:dead"
#: hash: task id -> letter (JSON), with everything needed for a replay; string: bytes of the letters
DEAD_LETTERS = "wxcheck:dead:letters"
DEAD_BYTES = "wxcheck:dead:bytes"

#: STATISTICS, hash: counts of the processes (:mod:`store.watch.statistics`). LATEST, hash: time of each field's last
#: count. FAILURES, list: the newest failures (JSON), never with content
STATISTICS = "wxcheck:{statistics}"
LATEST = "wxcheck:{statistics}:latest"
FAILURES = "wxcheck:{statistics}:failures"

#: sorted set: the queues of checks' follow-ups, by the time of the last use (:mod:`store.watch.follow_ups`); hash: time
#: since which nobody was seen to take a queue's first message (:mod:`status.follow_ups`)
FOLLOW_UPS = "wxcheck:follow_ups"
FOLLOW_UPS_SEEN = "wxcheck:follow_ups:seen"

#: hash: name -> process that runs (JSON, :mod:`store.watch.presence`)
PROCESSES = "wxcheck:processes"

#: string: a mark by which processes recognise the same database of the same Redis (:mod:`store.watch.servers`); also in
#: a broker and a result backend that are Redis
SERVER = "wxcheck:server"

#: hash: lane -> rate set at run time, ``calls a minute@version``
RATES = "wxcheck:rates"


def statistics_of_minute(minute: int) -> str:
    """Hash: counts of a minute, by its number since the epoch; expires."""
    return f"{STATISTICS}:m:{minute}"


def statistics_of_hour(hour: int) -> str:
    """Hash: counts of an hour, by its number since the epoch; expires."""
    return f"{STATISTICS}:h:{hour}"


def backfill(run: str) -> str:
    """Hash: the progress of a backfill (``wxcheck submit``); expires some days after the last batch.

    ``owner``  the process that goes on with the backfill
    ``batch``  number of the last published batch; 0 before the first
    """
    return f"wxcheck:backfill:{run}"
