"""Every key that wxcheck keeps in Redis. Celery's own keys (queues, results) are Celery's affair."""

from __future__ import annotations

#: hash: what became of events over the whole cluster, a field each (:mod:`worker.counters`)
COUNTERS = "wxcheck:counters"

#: sorted set: ``appid:trace_id`` of each check that is not ended, by the time when the sweeper must look at it
#: (seconds since the epoch, Redis' clock)
DUE = "wxcheck:due"

#: sorted set: task id of each check that is held back, by the time when it goes back to its queue
SHELF = "wxcheck:shelf"


def check(member: str) -> str:
    """Hash: a media check on its way from the platform's answer to its end; ``member``: ``appid:trace_id``.

    ``state``   early | waiting | finishing | ended
    ``task_id`` of the check, from *waiting* on
    ``rest``    JSON: the rest of the check's message (:mod:`worker.messages`), until it is ended
    ``outcome`` JSON: what ended the wait, in *early* and *finishing*
    ``claimed`` until when a run of the finish holds it, in seconds since the epoch
    ``tries``   how often its finish was published again
    ``ended``   how it ended: done | timeout | cancelled. Such a mark, with its ``task_id``, expires
    """
    return f"wxcheck:check:{member}"


def task(task_id: str) -> str:
    """String: ``appid:trace_id`` of a check that waits, by its task id."""
    return f"wxcheck:task:{task_id}"


def shelved(task_id: str) -> str:
    """String, JSON: the message of a check that is held back."""
    return f"wxcheck:shelved:{task_id}"


def token(appid: str) -> str:
    """Hash: the access token of an appId, and who renews it.

    ``value``, ``expires_at``, ``refresh_at`` (from when on one process renews it while the others go on using it),
    ``fence`` (counts renewals begun), ``stored`` (the renewal that ``value`` came from), ``renewing_until``,
    ``rejected`` (the value that the platform refused last), ``confirmed_until`` (until when the same value, given
    again by the platform, is not renewed once more); times in seconds since the epoch
    """
    return f"wxcheck:token:{appid}"


def hold(appid: str, lane: str) -> str:
    """String: until when the platform's quota keeps a lane closed, in seconds since the epoch. It expires then."""
    return f"wxcheck:hold:{appid}:{lane}"


def wake(appid: str, lane: str) -> str:
    """String: when the next held check of a lane may go back to its queue, in seconds since the epoch. It expires."""
    return f"wxcheck:wake:{appid}:{lane}"


def stopped(appid: str) -> str:
    """String, JSON: why the platform refuses this appId altogether. It expires, so that it is tried again."""
    return f"wxcheck:stopped:{appid}"
