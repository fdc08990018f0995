"""The relay: brings what a run left, and what the store's outbox keeps, where it belongs.

An entry is removed from the outbox when all of it is out, so it goes out again only if a relay dies before. Then a
result is stored again, a message published again, and a chord counts each part once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.app.task import Context
from celery.states import EXCEPTION_STATES

from worker.ending.backend import relaying
from worker.ending.left import Left, keeping
from worker.ending.publications import publish

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery


class Superseded(Exception):
    """Another relay has brought the entry out."""


class Relay:
    """Brings out what runs left. Safe to share between threads.

    ``options``: of kombu's ``publish``, about trying again where the broker is away.
    """

    def __init__(self, app: Celery, **options: Any) -> None:
        self._app = app
        self._options = options

    def bring_out(self, left: Left, amend: Callable[[Left], bool]) -> None:
        """Publish and store what a run left.

        ``amend`` writes what is still to be brought out into the outbox, and tells if the entry was still there.

        Raises:
            Superseded: another relay has brought the rest out.
            ChordClaimed: another process has begun to send the body of the run's chord; to be tried again.
            Exception: an error of broker or result backend; to be tried again.
        """
        self._store(left)
        while left.chord_parts:
            # what follows from the last part is brought out with the rest
            self._count(left, amend)
        if left.publications:
            with self._app.producer_or_acquire() as producer:
                for one in left.publications:
                    publish(producer, one, **self._options)
        self._store(left)

    def _store(self, left: Left) -> None:
        if left.results:
            self._app.backend.store_kept(left.results)
            left.results.clear()

    def _count(self, left: Left, amend: Callable[[Left], bool]) -> None:
        """Count the first part of a chord. What follows from it joins the rest."""
        part, follows = left.chord_parts[0], Left()
        backend, result = self._app.backend, part.result
        if part.state in EXCEPTION_STATES:
            result = backend.exception_to_python(result)
        is_amended = False

        def persist() -> None:
            nonlocal is_amended
            if not is_amended:
                is_amended = True
                left.chord_parts.pop(0)
                left.add(follows)
                if not amend(left):
                    raise Superseded

        with keeping(follows), relaying(persist) as under_way:
            backend.on_chord_part_return(Context(part.request), part.state, result)
        if under_way.broken_by is not None:
            raise under_way.broken_by
        if is_amended:
            return
        # it was no last part, and nothing follows; or the chord has gone since
        left.chord_parts.pop(0)
        left.add(follows)
        if follows and not amend(left):
            raise Superseded
