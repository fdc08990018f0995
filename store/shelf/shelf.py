"""The shelf: checks that come back at a time of their own wait in Redis, in no worker's memory and in no slot.

The shelf holds retries, checks that were sent with a countdown, and checks of low priority for which the day has no
calls left. Each check goes back to its queue when its time has come. Any number of sweepers may take checks off: if a
sweeper dies with a check in hand, its lease ends, and the check comes up again.
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
#: seconds after the time of a check's return for which no other check may use its task id
KEEP = 3600


#: reason for the shelf: the run's call has failed | another run is sending the check | neither
Why = Literal["sent", "busy", "later"]
Said = Literal["shelved", "over", "lost", "free", "cancelled", "taken"]


class Shelved(NamedTuple):
    """A check whose time has come: the caller publishes it."""

    task_id: str
    message: dict[str, Any]
    #: end of the lease on which the check was taken, in seconds since the epoch, as Redis writes it
    lease: str


class Shelf:
    """The shelf of all processes."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._put = script(redis, "store/shelf/put")
        self._take = script(redis, "store/shelf/take")
        self._remove = script(redis, "store/shelf/remove")

    def put(
        self,
        task_id: str,
        message: dict[str, Any],
        until: float,
        run: str = "",
        why: Why = "later",
        digest: str = "",
    ) -> Said:
        """Lay ``message`` (JSON values) on the shelf until ``until`` (seconds since the epoch).

        ``run``: the run that has sent the check, or was about to, and gives it up. ``digest``: the content's
        (:mod:`store.records.digest`).

        Returns:
            shelved, or a reason against it: over (the check is ended, parked, or on the shelf already), lost (another
            run has the check since, or its record is gone), free (no other run sends the check any more), cancelled
            (since ``run`` began to send the check, and ``run`` must end it), taken (a check with other content is under
            way under this task id).
        """
        check_keys = [keys.shelved(task_id), keys.SHELF, keys.record(task_id)]
        args = [task_id, json.dumps(message), until, run, why, digest, KEEP]
        said = self._put(keys=check_keys, args=args)
        return cast("Said", said)

    def take(self, task_ids: list[str]) -> list[Shelved]:
        """Take checks off the shelf, of those in ``task_ids`` that are still due (:func:`store.due.due.look`).

        The caller publishes each check and then calls :meth:`remove`.
        """
        due = []
        for task_id in task_ids:
            found = self._take(keys=[keys.shelved(task_id), keys.SHELF, keys.LATE], args=[task_id, LEASE])
            if found:
                message, lease = found
                due.append(Shelved(task_id, json.loads(message), lease))
        return due

    def remove(self, shelved: Shelved) -> None:
        """Note that a check is back in its queue. A check that was shelved anew meanwhile stays on the shelf."""
        self._remove(keys=[keys.shelved(shelved.task_id), keys.SHELF, keys.LATE], args=[shelved.task_id, shelved.lease])
