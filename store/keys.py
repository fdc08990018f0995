"""Every key that wxcheck keeps in Redis. Celery's own keys (queues, results) are Celery's affair."""

from __future__ import annotations

from config import names

#: hash: what became of events over the whole cluster, a field each (:mod:`store.watch.counters`)
COUNTERS = "wxcheck:counters"

#: sorted set: ``appid:trace_id`` of each check that is not ended, by the time when the sweeper must look at it
#: (seconds since the epoch, Redis' clock)
DUE = "wxcheck:due"

#: sorted set: task id of each check that comes back later, by the time when it goes back to its queue
SHELF = "wxcheck:shelf"

#: sorted sets: ``appid:trace_id`` of each check whose finish has not run at the first go, by the time since when it
#: should, and task id of each check that was taken off the shelf, by the time when it was due, until it is back in its
#: queue. What is over may stay in either until somebody looks (:mod:`status.stuck`)
HANGING = "wxcheck:hanging"
LATE = "wxcheck:late"

#: hash: since when a queue has been seen with messages, workers and open lanes and nothing has come out of it, and when
#: that was seen last (``since@at``), by its name (:mod:`status.stuck`)
STANDING = "wxcheck:standing"

#: sorted set: task id of each check that can be replayed, by the time when it failed (:mod:`store.dead_letters`)
DEAD = "wxcheck:dead"
#: hash: what it takes to replay it (JSON), by task id; string: bytes of these
DEAD_LETTERS = "wxcheck:dead:letters"
DEAD_BYTES = "wxcheck:dead:bytes"

#: hash: messages that were taken and not acknowledged, by delivery tag, and sorted set: the tags, by the time when each
#: was taken (:mod:`worker.fetching.transport`)
UNACKED = names.UNACKED
UNACKED_INDEX = names.UNACKED_INDEX

#: list that nobody writes to: who waits for it waits, and takes nothing (:mod:`worker.fetching.transport`)
NEVER = "wxcheck:never"

#: hash: which lanes this Redis has seen (a field each), ``run`` and ``since``: how long it has been watched
LANES = "wxcheck:lanes"

#: hash: what the processes have counted (:mod:`store.watch.statistics`). Hash: when each field was last counted. List:
#: the newest failures (JSON), never with content
STATISTICS = "wxcheck:{statistics}"
LATEST = "wxcheck:{statistics}:latest"
FAILURES = "wxcheck:{statistics}:failures"

#: sorted set: the queues that follow-ups of checks go to, by the time when one last did
#: (:mod:`store.watch.follow_ups`), and hash: since when nobody was seen to take the first message of one
#: (:mod:`status.follow_ups`)
FOLLOW_UPS = "wxcheck:follow_ups"
FOLLOW_UPS_SEEN = "wxcheck:follow_ups:seen"

#: hash: the processes that run (JSON, :mod:`store.watch.presence`), by name
PROCESSES = "wxcheck:processes"

#: string: by which processes know whether they have the same database of the same Redis
#: (:mod:`store.watch.servers`); in the broker and the result backend too, where these are Redis
SERVER = "wxcheck:server"

#: hash: the rate of each lane that was set at run time, ``calls a minute@version``
RATES = "wxcheck:rates"


def statistics_of_minute(minute: int) -> str:
    """Hash: what was counted in a minute, by its number since the epoch; it expires."""
    return f"{STATISTICS}:m:{minute}"


def statistics_of_hour(hour: int) -> str:
    """The same of an hour."""
    return f"{STATISTICS}:h:{hour}"


def crowded(lane: str) -> str:
    """Set: the appIds whose checks wait in a queue of their own."""
    return f"wxcheck:crowded:{lane}"


def check(member: str) -> str:
    """Hash: a media check on its way from the platform's answer to its end; ``member``: ``appid:trace_id``.

    ``state``   early | waiting | finishing | ended
    ``task_id`` of the check, from *waiting* on
    ``kept``    what is kept of the check's message until it is ended: finish | rest
    ``outcome`` JSON: what ended the wait, in *early* and *finishing*
    ``claimed`` until when a run of the finish holds it, in seconds since the epoch; 0 where that has given it up
    ``run``     that run; in *ended*, the one that finished it
    ``tries``   how often its finish was published again
    ``since``   when it was parked, and ``pushed`` when its push was tied to it, in seconds since the epoch
    ``ended``   how it ended: done | timeout | cancelled. Such a mark, with its ``task_id`` and ``ended_at``, expires
    """
    return f"wxcheck:check:{member}"


def kept(member: str) -> str:
    """String: of a media check that is not ended, the message of its finish as it goes on its queue, or the rest of the
    check's own (:mod:`worker.messages`). With the check's arguments, where it may be replayed, on a second line. A key
    of its own: beside such a long value Redis keeps a hash in twice the room."""
    return f"wxcheck:kept:{member}"


def record(task_id: str) -> str:
    """Hash: a check by its task id, from the moment before its call on (:mod:`store.records`).

    ``state``     sending | waiting | done
    ``run``       the run that sends it, or ended it
    ``begun``     when the last one began to, in seconds since the epoch
    ``lease``     until when no other run may send it, in seconds since the epoch
    ``cancelled`` whether it is to be cancelled when it is parked
    ``ending``    JSON: how it ends, from when that is known until it is done (:mod:`store.records.endings`)
    ``member``    ``appid:trace_id`` of one that was parked
    ``of``        digests of what is checked (:mod:`store.records.digest`), the newest first: of this check, and of
                  those that ended by the same task id
    ``ended_at``  of done: when that was
    ``refused``   how often the store has refused to end it
    ``fresh``     of done, while what else belongs to the end has yet to happen in the same step
    Done is a mark, which expires. Without a state it is of a check on the shelf
    """
    return f"wxcheck:record:{task_id}"


def shelved(task_id: str) -> str:
    """String, JSON: the message of a check that comes back later."""
    return f"wxcheck:shelved:{task_id}"


def token(appid: str) -> str:
    """Hash: the access token of an appId, and who renews it.

    ``value``, ``expires_at``, ``refresh_at`` (from when on one process renews it while the others go on using it),
    ``fence`` (counts renewals begun), ``stored`` (the renewal that ``value`` came from), ``renewing_until``,
    ``rejected`` (the value that the platform refused last), ``confirmed_until`` (until when the same value, given
    again by the platform, is not renewed once more); times in seconds since the epoch
    """
    return f"wxcheck:token:{appid}"


def quota(appid: str, lane: str) -> str:
    """Hash: the permits of a lane, and what closes it (``store/quota/take.lua``). It stays.

    ``run`` (the Redis that keeps it), ``epoch`` (when it was made), ``now`` (the lane's own time), ``shown`` (what
    Redis' clock showed then), ``base`` and ``read`` (the same for the last call that can say all of what passed),
    ``slot`` (the next send time), ``due`` (what it would be if all were evenly spaced), ``short`` (whether somebody has
    asked since the last one, and there was no permit), ``tail`` (the oldest bucket that counts), ``sum`` (permits that
    count), ``day`` and ``used`` (permits of that day), ``opens`` (nothing is sent before), ``closed_until`` and
    ``why`` (by which of its quotas the platform closes it), ``stopped`` and ``refusal`` (until when, and why, its appId
    is not called), ``cut`` and ``cut_until`` (tenths of the rate that are left out), ``n`` and ``version`` (the rate)
    """
    return f"wxcheck:quota:{{{appid}:{lane}}}"


def ring(appid: str, lane: str) -> str:
    """String: permits by the fortieth of a second that their calls were answered in, or will be at the latest."""
    return f"wxcheck:quota:{{{appid}:{lane}}}:ring"


def backfill(run: str) -> str:
    """Hash: how far a backfill has come (``wxcheck submit``); it expires some days after the last batch.

    ``owner``  the process that goes on with it
    ``batch``  number of the last batch that was published; 0 before the first one
    """
    return f"wxcheck:backfill:{run}"
