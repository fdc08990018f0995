"""The relay: brings out what an entry of the store's outbox keeps, a part at a time.

What goes to the store's Redis goes out in the step that takes it off the outbox: once. What goes elsewhere goes out
before that step, and again if the relay dies in between. A chord counts each part once in any case.

What is refused for good is tried :data:`REFUSALS` times. Then the check fails with what was wrong, as if its run had
failed; if its part of a chord is counted already, the chord's body fails.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from celery.app.task import Context
from celery.canvas import maybe_signature
from celery.exceptions import ChordError
from celery.states import EXCEPTION_STATES
from redis.exceptions import ResponseError

from config.logs import Log
from store.connection import STORE_AWAY
from store.places.places import RELAY_LEASE
from store.quota.permits import STORE_PAUSE
from worker.ending.backend import ChordClaimed, passes, relaying
from worker.ending.left import Left, NewerFormat, keeping, read_left
from worker.ending.publications import publish, rendered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celery import Celery

    from config.settings import Settings
    from store.places.forms import Result
    from store.places.places import Places

log = Log(__name__)

#: attempts, about a second apart, at what is refused for good
REFUSALS = 10
#: attempts, about a second apart, to take off the outbox what is out: a later relay would publish it again
ATTEMPTS = 10


class Superseded(Exception):
    """Another relay has brought the entry out."""


def bring_out_left(app: Celery, places: Places, settings: Settings) -> int:
    """Bring out what the outbox holds and no relay has in hand.

    Returns:
        the number of entries; or 0 if broker or results are away: each further try would only wait for them.
    """
    entries = places.relay()
    for entry, text in entries:
        try:
            left = read_left(text)
        except NewerFormat as error:
            log.warning("newer_format", str(error), task_id=_task_id(entry))
        except (ValueError, LookupError, TypeError) as error:
            # it holds up no other
            log.error("not_brought_out", f"{type(error).__name__}; it stays", task_id=_task_id(entry))  # noqa: TRY400
        else:
            relay = Relay(app, places, settings, entry, left)
            if not relay.bring_out() and relay.is_away:
                return 0
    return len(entries)


class Relay:
    """Brings one entry of the outbox out. For one thread."""

    def __init__(self, app: Celery, places: Places, settings: Settings, entry: str, left: Left) -> None:
        self._app = app
        self._places = places
        self._entry = entry
        self._left = left
        self._sends_directly = settings.is_one_redis
        self._stores_directly = settings.backend == settings.redis_url
        #: broker, results or store were away
        self.is_away = False
        #: some of what the entry holds is out already
        self._is_begun = False

    def bring_out(self) -> bool:
        """Publish and store all of it. Return False if some of it stays for a later try."""
        try:
            while self._left.chord_parts:
                if self._left.publications or self._left.results:
                    self._advance(replace(self._left, publications=[], results=[]), self._left)
                self._count()
            self._advance(Left(), self._left)
        except Superseded:
            return True
        except Exception as error:  # noqa: BLE001 - each backend and broker has errors of its own
            try:
                self._put_off(error)
            except Exception as more:  # noqa: BLE001 - as above
                log.warning("not_brought_out", f"{type(more).__name__}; tried again", task_id=_task_id(self._entry))
            return False
        return True

    def _advance(self, rest: Left, goes_out: Left | None = None, lease: float = RELAY_LEASE) -> None:
        """Let a part of the entry out, and keep the rest."""
        results: Sequence[Result] = ()
        messages: Sequence[tuple[str, str]] = ()
        if goes_out is not None:
            if self._stores_directly:
                results = goes_out.results
            if self._sends_directly:
                messages = rendered(self._app, goes_out.publications)
            else:
                before = len(goes_out.publications)
                try:
                    send(self._app, goes_out, stores=not self._stores_directly)
                finally:
                    self._is_begun = len(goes_out.publications) < before
        step = partial(self._places.advance, self._entry, rest.text() if rest else "", results, messages, lease)
        entry = self._insist(step) if self._is_begun else step()
        if entry is None:
            raise Superseded
        self._entry, self._left = entry, rest

    def _insist(self, step: Callable[[], str | None]) -> str | None:
        for _ in range(1, ATTEMPTS):
            try:
                return step()
            except STORE_AWAY:
                time.sleep(STORE_PAUSE)
        return step()

    def _count(self) -> None:
        """Count the first part of a chord. What follows from it joins the rest."""
        part, follows = self._left.chord_parts[0], Left()
        backend, result = self._app.backend, part.result
        if part.state in EXCEPTION_STATES:
            result = backend.exception_to_python(result)
        with keeping(follows), relaying(lambda: self._advance(self._counted(follows))) as under_way:
            backend.on_chord_part_return(Context(part.request), part.state, result)
        if under_way.broken_by is not None:
            raise under_way.broken_by
        if under_way.is_kept:
            return
        # it was no last part, and nothing follows; or the chord has gone since
        if follows:
            self._advance(self._counted(follows))
        else:
            self._left = self._counted(follows)

    def _counted(self, follows: Left) -> Left:
        parts = [*self._left.chord_parts[1:], *follows.chord_parts]
        return replace(self._left, results=follows.results, publications=follows.publications, chord_parts=parts)

    def _put_off(self, error: Exception) -> None:
        """Keep what could not go out for a later try. What is refused for the last time lets the check fail."""
        self.is_away = passes(error, self._app)
        if self.is_away or isinstance(error, ChordClaimed):
            log.warning("not_brought_out", f"{type(error).__name__}; tried again", task_id=_task_id(self._entry))
            if self._is_begun:
                self._advance(self._left)
            return
        # the text of a script's error may name the queue to mend; other texts may quote content
        said = f"{type(error).__name__}: {error}" if isinstance(error, ResponseError) else type(error).__name__
        rest = replace(self._left, tries=self._left.tries + 1)
        attempt = f"{said}; attempt {rest.tries} of {REFUSALS}, then the check fails"
        log.error("not_brought_out", attempt, task_id=_task_id(self._entry))
        if rest.tries >= REFUSALS:
            log.error("end_refused", f"{said}; the check fails", task_id=_task_id(self._entry))
            rest = failed(self._app, self._left, error)
        self._advance(rest, lease=STORE_PAUSE)


def _task_id(entry: str) -> str:
    return entry.rsplit(":", 2)[0]


def send(app: Celery, left: Left, *, stores: bool = True) -> None:
    """Publish and store what a run left; first the messages: who sees a result may rely on what follows.

    ``stores``: False if the results go another way.

    Raises:
        Exception: an error of broker or result backend; ``left`` has what is not out yet.
    """
    sent = 0
    if left.publications:
        try:
            with app.producer_or_acquire() as producer:
                for one in left.publications:
                    publish(app, producer, one, retry=False)
                    sent += 1
        finally:
            del left.publications[:sent]
    if stores and left.results:
        app.backend.store_kept(left.results)


def failed(app: Celery, left: Left, error: Exception) -> Left:
    """Return what a check leaves instead if ``left`` cannot go out for ``error``; nothing, the second time."""
    follows, backend = Left(), app.backend
    if not left.request:
        return follows
    context = Context({"delivery_info": {}, **left.request})
    # the chord may have counted this part already, and the refused message may be the chord's body
    body, context.chord = maybe_signature(context.chord, app=app), None
    try:
        with keeping(follows):
            if body is None or left.chord_parts:
                backend.mark_as_failure(context.id, error, request=context, store_result=not context.ignore_result)
            if body is not None:
                _fail_chord(backend, body, context, error)
    except Exception as more:  # noqa: BLE001 - each backend has errors of its own
        said = f"{type(more).__name__}; not all could be told that it failed"
        log.error("end_refused", said, task_id=context.id)  # noqa: TRY400 - the text could quote content
    return follows


def _fail_chord(backend: Any, body: Any, context: Context, error: Exception) -> None:
    try:
        # Celery takes the error from the stack
        raise ChordError(f"{context.id}: {type(error).__name__}: {error}")  # noqa: TRY301
    except ChordError as its:
        backend.chord_error_from_stack(body, its)
    # a later part would complete the chord
    backend.client.delete(backend.get_key_for_group(context.group, ".s"))
