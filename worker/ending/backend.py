"""Celery's Redis result backend, for tasks that end checks: results and parts of chords may be kept for later.

A chord's body goes out with the chord's last part. Celery publishes the body, and then removes the chord's keys; if it
cannot, it fails the chord, though the broker may only be away. A relay (:mod:`worker.ending.relay`) has what follows
from a part written into the store before any key is removed, and an outage breaks off its work, to be done again.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import redis
from celery.backends.redis import RedisBackend
from celery.exceptions import BackendError
from kombu.exceptions import OperationalError

from config.redis_url import SCHEMES
from store.connection import STORE_AWAY
from store.places.forms import Result
from worker.ending.left import ChordPart, kept_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery import Celery

#: errors that do not pass, though kombu wraps them as a lost connection
_FOR_GOOD = (redis.exceptions.ResponseError, LookupError, TypeError, ValueError)


class ChordClaimed(Exception):
    """A chord is complete, and another process has begun to send its body, or has died since."""


class Relaying:
    """The part of a chord that is being relayed in a thread."""

    def __init__(self, persist: Callable[[], None]) -> None:
        self._persist = persist
        #: what follows from it is in the store
        self.is_kept = False
        #: an error that has broken it off: no key may be removed
        self.broken_by: BaseException | None = None

    def persist(self) -> bool:
        """Write what follows from the part into the store. Return False if its keys may not be removed."""
        if self.broken_by is None and not self.is_kept:
            try:
                self._persist()
                self.is_kept = True
            except Exception as error:  # noqa: BLE001 - Celery would take it for the chord's failure; the relay raises it
                self.broken_by = error
        return self.broken_by is None


_part: ContextVar[Relaying | None] = ContextVar("part", default=None)
_relaying = _part.get


@contextmanager
def relaying(persist: Callable[[], None]) -> Iterator[Relaying]:
    """Relay a part of a chord in this thread."""
    part = Relaying(persist)
    token = _part.set(part)
    try:
        yield part
    finally:
        _part.reset(token)


class Client(redis.Redis):
    """A client that removes the keys of a chord only after what follows from its part is in the store."""

    def delete(self, *names: Any) -> Any:
        part = _relaying()
        return super().delete(*names) if part is None or part.persist() else 0


class Backend(RedisBackend):  # type: ignore[misc]  # Celery ships no types
    """A result backend in any Redis."""

    #: beyond ``redis_max_connections`` a thread waits for another one's
    ConnectionPool = redis.BlockingConnectionPool

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Subscribe to nothing: a worker waits for no result of what follows."""

    def add_pending_result(self, result: Any, *args: Any, **kwargs: Any) -> Any:
        """Subscribe to no result of what follows, as Celery does for an errback; but to those of a chord's parts."""
        if kept_by() is not None and _relaying() is None:
            return result
        return super().add_pending_result(result, *args, **kwargs)

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        left = kept_by()
        if left is None:
            return super().store_result(task_id, result, state, traceback, request, **kwargs)
        encoded = self.encode_result(result, state)
        left.results.append(self.stored(task_id, encoded, state, traceback, request))
        return encoded

    def stored(self, task_id: str, encoded: Any, state: str, traceback: Any = None, request: Any = None) -> Result:
        """Return an encoded result in the form in which the backend stores it."""
        meta = self._get_result_meta(result=encoded, state=state, traceback=traceback, request=request)
        text = self.encode({**meta, "task_id": task_id})
        return Result(self.key_of(task_id), text, int(self.expires or 0))

    def key_of(self, task_id: str) -> str:
        """Return the key of a task's result."""
        return str(self.get_key_for_task(task_id).decode())

    def store_kept(self, results: list[Result]) -> None:
        """Store results that were kept, and tell those who wait for them."""
        with self.client.pipeline(transaction=False) as pipe:
            for key, value, seconds in results:
                pipe.set(key, value, ex=seconds or None)
                pipe.publish(key, value)
            self.ensure(pipe.execute, ())

    def mark_as_failure(
        self, task_id: str, exc: Exception, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        left = kept_by()
        if left is not None and request is not None:
            if left.is_failed:
                return None  # its errbacks could not be published, and Celery takes that for its failure
            left.fail()
        return super().mark_as_failure(task_id, exc, traceback, request, **kwargs)

    def on_chord_part_return(self, request: Any, state: str, result: Any, *args: Any, **kwargs: Any) -> Any:
        left = kept_by()
        if left is None or _relaying() is not None:
            return super().on_chord_part_return(request, state, result, *args, **kwargs)
        fields = {name: getattr(request, name, None) for name in ("id", "group", "group_index", "chord")}
        if fields["id"] and fields["group"]:
            left.chord_parts.append(ChordPart(fields, state, self.encode_result(result, state)))
        return None

    def chord_error_from_stack(self, callback: Any, exc: Any = None) -> Any:
        part, error = _relaying(), sys.exception()
        if part is not None and (part.broken_by is not None or passes(error)):
            part.broken_by = part.broken_by or error
            return None
        return super().chord_error_from_stack(callback, exc)

    def _get_client(self) -> type[redis.Redis]:
        return Client

    @cached_property
    def _chord_part_return_script(self) -> Callable[..., Any]:
        count_part = super()._chord_part_return_script

        def counted(*args: Any, **kwargs: Any) -> Any:
            # the script counts a part once, however often it runs
            ready, more, size, claimed = self.ensure(partial(count_part, **kwargs), args)
            if _relaying() is not None and size and ready == int(size) + int(more or 0) and not claimed:
                raise ChordClaimed
            return ready, more, size, claimed

        return counted

    @cached_property
    def _chord_cleanup_script(self) -> Callable[..., Any]:
        clean_up = super()._chord_cleanup_script

        def cleaned(*, keys: list[str], args: list[Any], client: redis.Redis) -> Any:
            part = _relaying()
            if part is not None and not part.persist():
                # the next relay need not wait until the claim expires
                return client.register_script(_UNCLAIM)(keys=keys[:1], args=args[:1])
            return clean_up(keys=keys, args=args, client=client)

        return cleaned


#: gives up the claim of a chord whose body was not published; an expired claim may be another process' by now
_UNCLAIM = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1])"


def passes(error: BaseException | None, app: Celery | None = None) -> bool:
    """True if an error of store, broker or result backend passes by itself. ``app``: whose broker it may be."""
    if isinstance(error, (BackendError, RuntimeError)):
        # Celery wraps the error of its last attempt in these
        return passes(error.__cause__, app)
    if isinstance(error, OperationalError):
        # kombu raises this for a message that it cannot make, and for a refusal of a broker that is there, too
        return passes(error.__cause__, app) or not isinstance(error.__cause__, _FOR_GOOD)
    if isinstance(error, STORE_AWAY):
        return True
    if app is None or isinstance(error, _FOR_GOOD):
        return False
    return isinstance(error, app.connection_for_write().connection_errors)


def use_backend(app: Celery) -> None:
    """Make :class:`Backend` the result backend of ``app`` for each Redis."""
    ours = dict.fromkeys(SCHEMES, f"{__name__}:Backend")
    app.loader.override_backends = {**app.loader.override_backends, **ours}
