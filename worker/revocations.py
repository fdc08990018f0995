"""Celery's ``revoke`` of a check that waits for its push: Celery itself only reaches what is in a worker's hands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery.worker import state

if TYPE_CHECKING:
    from worker.parking import Parked, Parking

#: sweeps for which a revoked check is looked for: it may be about to be sent, and wait only then
LOOKS = 10


class Revocations:
    """Cancels checks that were revoked since this worker started. For one thread."""

    def __init__(self) -> None:
        #: how often each is to be looked for yet
        self._looks: dict[str, int] = {}

    def cancelled(self, parking: Parking) -> list[Parked]:
        """The checks that end because they were revoked: their finishes are to be published."""
        revoked = set(state.revoked)
        for task_id in self._looks.keys() - revoked:
            del self._looks[task_id]  # so long ago that Celery has forgotten it
        found = []
        for task_id in revoked:
            looks = self._looks.setdefault(task_id, LOOKS)
            if looks:
                parked = parking.cancel(task_id)
                self._looks[task_id] = 0 if parked is not None else looks - 1
                if parked is not None:
                    found.append(parked)
        return found
