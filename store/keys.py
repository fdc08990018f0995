"""Every key that wxcheck keeps in Redis, but for those of a shard (:mod:`store.places.shard`).

Celery's own keys (queues, results) belong to Celery.
"""

from __future__ import annotations

from config import names

#: hash: counts of events over the whole cluster, a field each (:mod:`store.watch.counters`)
COUNTERS = "wxcheck:counters"

#: sorted set: ``appid:trace_id`` of each check that is not ended, by the time of the sweeper's next look (seconds since
#: the epoch, Redis' clock)
DUE = "wxcheck:due"

#: sorted set: task id of each check on the shelf, by the time of its return to its queue
SHELF = "wxcheck:shelf"

#: sorted sets. HANGING: ``appid:trace_id`` of each check whose finish did not run at the first go, by the time since
#: which the finish is due. LATE: task id of each check taken off the shelf and not yet back in its queue, by the time
#: at which it was due. Entries that are over may stay in either set until somebody looks (:mod:`status.stuck`)
HANGING = "wxcheck:hanging"
LATE = "wxcheck:late"

#: hash: queue -> ``since@at``: since then the queue has had messages, workers and open lanes, and no message came out;
#: at: time of the last look (:mod:`status.stuck`)
STANDING = "wxcheck:standing"

#: sorted set: task id of each check that can be replayed, by the time of its failure (:mod:`store.dead_letters`)
DEAD = "wxcheck:dead"
#: hash: task id -> letter (JSON), with everything needed for a replay; string: bytes of the letters
DEAD_LETTERS = "wxcheck:dead:letters"
DEAD_BYTES = "wxcheck:dead:bytes"

#: hash: delivery tag -> message that was taken and not acknowledged; sorted set: the tags, by the time of the taking
#: (:mod:`worker.fetching.transport`)
UNACKED = names.UNACKED
UNACKED_INDEX = names.UNACKED_INDEX

#: list that nobody writes to: a blocking read of it waits and takes nothing (:mod:`worker.fetching.transport`)
NEVER = "wxcheck:never"

#: hash: a field for each lane that this Redis has seen; ``run``: this Redis, ``since``: start of the watch over it
LANES = "wxcheck:lanes"

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


def crowded(lane: str) -> str:
    """Set: the appIds whose checks wait in a queue of their own."""
    return f"wxcheck:crowded:{lane}"


def check(member: str) -> str:
    """Hash: a media check on its way from the platform's answer to its end; ``member``: ``appid:trace_id``.

    ``state``   early | waiting | finishing | ended
    ``task_id`` of the check, from *waiting* on
    ``kept``    form of the message under :func:`kept`: finish | rest
    ``outcome`` JSON: the cause of the wait's end, in *early* and *finishing*
    ``claimed`` end of a run's claim on the finish, in seconds since the epoch; 0 once the run has given up the claim
    ``run``     the run with the claim; in *ended*, the run that finished the check
    ``tries``   number of times that the finish was published again
    ``since``   time of parking, and ``pushed`` time of the push, in seconds since the epoch
    ``ended``   done | timeout | cancelled. The mark of an ended check, with ``task_id`` and ``ended_at``, expires
    """
    return f"wxcheck:check:{member}"


def kept(member: str) -> str:
    """String: the message of a media check that is not ended.

    The message is that of the check's finish, in its form for the queue, or the rest of the check's own message
    (:mod:`worker.messages`). A check that may be replayed has its arguments on a second line. The string has a key of
    its own, since Redis keeps a hash with such a long value in twice the room.
    """
    return f"wxcheck:kept:{member}"


def record(task_id: str) -> str:
    """Hash: a check by its task id, from the moment before its call on (:mod:`store.records`).

    ``state``     sending | waiting | done
    ``run``       the run that sends the check, or ended it
    ``begun``     time at which the latest run began, in seconds since the epoch
    ``lease``     time before which no other run may send the check, in seconds since the epoch
    ``cancelled`` 1: the check is to be cancelled as soon as it is parked
    ``ending``    JSON: the check's ending, once known and until the check is done (:mod:`store.records.endings`)
    ``member``    ``appid:trace_id`` of a parked check
    ``of``        digests of contents (:mod:`store.records.digest`), the newest first: of this check, and of checks that
                  ended under the same task id
    ``ended_at``  in *done*: time of the end
    ``refused``   number of times that the store has refused the end
    ``fresh``     in *done*: present until the other scripts of the same step have run
    A done record is a mark, which expires. A record without a state belongs to a check on the shelf.
    """
    return f"wxcheck:record:{task_id}"


def shelved(task_id: str) -> str:
    """String, JSON: the message of a check on the shelf."""
    return f"wxcheck:shelved:{task_id}"


def token(appid: str) -> str:
    """Hash: the access token of an appId, and its renewal.

    ``value``, ``expires_at``, ``refresh_at`` (from then on one process renews the token while the others go on using
    it), ``fence`` (counts renewals begun), ``stored`` (the renewal that ``value`` came from), ``renewing_until``,
    ``rejected`` (the value that the platform refused last), ``confirmed_until`` (until then a value that the platform
    has given once more is not renewed again); times in seconds since the epoch
    """
    return f"wxcheck:token:{appid}"


def quota(appid: str, lane: str) -> str:
    """Hash: the permits of a lane, and the reasons that close it (``store/quota/lane.lua``); never expires.

    ``run`` (the Redis that keeps the hash), ``epoch`` (time of its making), ``now`` (the lane's own time), ``shown``
    (Redis' clock at that moment), ``base`` and ``read`` (the same pair at the last call that could account for all time
    passed), ``slot`` (the next send time), ``due`` (the next send time under even spacing), ``short`` (somebody has
    asked in vain since the last permit), ``tail`` (the oldest bucket that counts), ``sum`` (permits that count),
    ``day`` and ``used`` (permits of that day), ``opens`` (end of a pause), ``closed_until`` and ``why`` (end of a
    closing, and the quota that the platform names for it), ``stopped`` and ``refusal`` (until then the appId is not
    called, and the reason), ``cut`` and ``cut_until`` (tenths taken off the rate, until then), ``n`` and ``version``
    (the rate)
    """
    return f"wxcheck:quota:{{{appid}:{lane}}}"


def ring(appid: str, lane: str) -> str:
    """String: permits by the fortieth of a second in which their calls were answered, or will be at the latest."""
    return f"wxcheck:quota:{{{appid}:{lane}}}:ring"


def backfill(run: str) -> str:
    """Hash: the progress of a backfill (``wxcheck submit``); expires some days after the last batch.

    ``owner``  the process that goes on with the backfill
    ``batch``  number of the last published batch; 0 before the first
    """
    return f"wxcheck:backfill:{run}"
