"""Where checks wait that are to come back at a time of their own: in Redis, in no worker's memory and in no slot.

These are retries, checks that were sent with a countdown, and checks of low priority for which the day has no calls
left. Each goes back to its queue when its time has come. Any number of sweepers may take them: one that dies with a
check in hand loses its lease, and the check comes up again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from kombu.utils import json

from store import keys
from store.scripts import script

if TYPE_CHECKING:
    from redis import Redis

#: seconds in which a check that was taken off must be back in its queue
LEASE = 60
#: seconds beyond the time when a check goes back for which its task id is no other check's
KEEP = 3600


#: why a check is laid there: its run has sent it in vain | another run is sending it | neither
Why = Literal["sent", "busy", "later"]
Said = Literal["shelved", "over", "lost", "free", "cancelled", "taken"]


class Shelved(NamedTuple):
    """A check whose time has come: it is to be published."""

    task_id: str
    message: dict[str, Any]
    #: end of the lease on which it was taken, in seconds since the epoch, as Redis writes it
    lease: str


class Shelf:
    """The shelf of all processes."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._shelve = script(redis, "store/shelf/put")
        self._wake = script(redis, "store/shelf/take")
        self._returned = script(redis, "store/shelf/remove")

    def put(
        self,
        task_id: str,
        message: dict[str, Any],
        until: float,
        run: str = "",
        why: Why = "later",
        digest: str = "",
    ) -> Said:
        """Lays ``message`` (JSON values) on the shelf until ``until`` (seconds since the epoch). ``run`` has sent the
        check, or was about to, and does not any more. ``digest``: of its content (:mod:`store.records.digest`).

        Where it is not shelved: over (the check ended, waits, or is on the shelf), lost (another run has sent it since,
        or nobody knows of it any more), free (it is busy no longer), cancelled (since ``run`` has begun to send it, and
        ``run`` ends it), taken (a check with other content is under way by this task id).
        """
        check_keys = [keys.shelved(task_id), keys.SHELF, keys.record(task_id)]
        args = [task_id, json.dumps(message), until, run, why, digest, KEEP]
        said = self._shelve(keys=check_keys, args=args)
        return cast("Said", said)

    def due(self, task_ids: list[str]) -> list[Shelved]:
        """Of checks that are due (:meth:`worker.sweeper.look`), those that are taken off here; say :meth:`returned` of
        each that is back in its queue."""
        due = []
        for task_id in task_ids:
            found = self._wake(keys=[keys.shelved(task_id), keys.SHELF, keys.LATE], args=[task_id, LEASE])
            if found:
                message, lease = found
                due.append(Shelved(task_id, json.loads(message), lease))
        return due

    def returned(self, shelved: Shelved) -> None:
        """Says that the check is back in its queue. It may have been shelved anew since; then it stays here."""
        self._returned(
            keys=[keys.shelved(shelved.task_id), keys.SHELF, keys.LATE], args=[shelved.task_id, shelved.lease]
        )
