"""Celery's ``revoke`` and ``revoke_by_stamped_headers`` for checks that wait for their push.

Celery itself reaches only the messages in a worker's hands.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celery.worker import state
from kombu.utils.functional import maybe_list

from worker.messages import decode_kept

if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.parked.parked import Kept, Parked, Parking

#: sweeps for which a revoked check is looked for: a run may be about to send it, and then it waits
LOOKS = 10
#: checks that are looked at for a stamp in one sweep
SCANNED = 5000
#: seconds until a second look at all checks: those that were about to be sent wait by then
AGAIN = 15.0


def is_stamp_revoked(stamps: Mapping[str, Any] | None) -> bool:
    """True if one of a message's stamps (a value or several, by header) was revoked."""
    return any(
        value in (maybe_list(state.revoked_stamps.get(header)) or ())
        for header, values in (stamps or {}).items()
        for value in maybe_list(values) or ()
    )


class Revocations:
    """Cancels checks that were revoked since this worker started. For one thread."""

    def __init__(self) -> None:
        #: looks that are left for each task id
        self._looks: dict[str, int] = {}
        self._stamps = _Stamps()

    def cancelled(self, parking: Parking, bound: int) -> list[Parked]:
        """End the wait of revoked checks. Return those whose finishes are to be published.

        ``bound``: checks that are looked at for a stamp.
        """
        revoked = set(state.revoked)
        for task_id in self._looks.keys() - revoked:
            del self._looks[task_id]  # Celery has forgotten the revocation by now
        found = []
        for task_id in revoked:
            looks = self._looks.setdefault(task_id, LOOKS)
            if looks:
                parked = parking.cancel(task_id)
                self._looks[task_id] = 0 if parked is not None else looks - 1
                if parked is not None:
                    found.append(parked)
        return found + [parked for task_id in self._stamps.found(parking, bound) if (parked := parking.cancel(task_id))]


class _Stamps:
    """Looks through all checks that wait when a stamp is revoked, a part of them in each sweep."""

    def __init__(self) -> None:
        #: number of revoked stamps when the latest look began
        self._known = 0
        #: place where the look goes on; None: the look is over
        self._cursor: int | None = None
        #: time of the second look at all checks
        self._again_at = float("inf")

    def found(self, parking: Parking, bound: int) -> list[str]:
        """The task ids of checks with a stamp that was revoked, among those looked at now."""
        number = sum(len(maybe_list(stamps) or ()) for stamps in state.revoked_stamps.values())
        if number != self._known:
            self._known, self._cursor, self._again_at = number, 0, time.monotonic() + AGAIN
        elif self._cursor is None and time.monotonic() > self._again_at:
            self._cursor, self._again_at = 0, float("inf")
        if self._cursor is None:
            return []
        self._cursor, every = parking.each_kept(self._cursor, bound)
        return [task_id for kept in every if (task_id := _revoked(kept))]


def _revoked(kept: Kept) -> str | None:
    """Return the task id of a parked check if one of its stamps was revoked; else None."""
    if "stamped_headers" not in kept.text:
        return None  # most have none
    rest = decode_kept(kept).rest
    stamps = {header: rest.get(header) for header in rest.get("stamped_headers") or ()}
    return str(rest["task_id"]) if is_stamp_revoked(stamps) else None
