"""Celery's Redis result backend, for tasks that end checks.

Celery publishes a chord's body and then removes the chord's keys. If the end of a check is one step
(:mod:`store.outbox`), the body waits for that step, so the removal must wait as well: a process that dies in between
would leave neither body nor chord.

Celery takes any error after a task's own part for the task's failure: a connection that is lost while a chord counts
the verdict fails the chord. Here such an error breaks the run, and another run ends the check.
"""

from __future__ import annotations

import sys
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import redis
from celery.backends.redis import RedisBackend
from celery.exceptions import BackendError
from celery.states import PENDING
from kombu.exceptions import OperationalError

from config.redis_url import SCHEMES
from store.connection import STORE_AWAY
from store.outbox.outbox import Also, Run, StoredResult, current_run, ending_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery


#: errors that do not pass, though kombu wraps them as a lost connection
_FOR_GOOD = (redis.exceptions.ResponseError, LookupError, TypeError, ValueError)


class Client(redis.Redis):
    """A client that removes nothing for a broken run: the run that ends the check later needs the keys."""

    def delete(self, *names: Any) -> Any:
        run = ending_run()
        return super().delete(*names) if run is None or not run.is_broken else 0


class EndingClient(Client):
    """A client that puts the removal of keys off to the end of a check, while such an end is under way."""

    def delete(self, *names: Any) -> Any:
        run = ending_run()
        if run is None:
            return super().delete(*names)
        run.also.append(Also(self.register_script(_DELETE), [], list(names)))
        return len(names)


#: the last argument is the run (store.outbox.outbox.Also)
_DELETE = "for i = 1, #ARGV - 1 do redis.call('DEL', ARGV[i]) end return #ARGV - 1"
#: gives up the claim of a chord whose body was not published; an expired claim may be another run's by now
_UNCLAIM = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1])"


class Backend(RedisBackend):  # type: ignore[misc]  # Celery ships no types
    """A result backend in Redis: the Redis of broker and store, or another one."""

    @cached_property
    def _commits_ends(self) -> bool:
        """True if results, broker and store share one Redis, so that a result can be stored in one step with an end."""
        return bool(self.app.conf.broker_transport_options.get("commits_ends"))

    def _get_client(self) -> type[redis.Redis]:
        return EndingClient if self._commits_ends else Client

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        """Return the result that a new one would replace; none if the new one waits for the end of its check."""
        if self._is_kept(task_id):
            return {"status": PENDING, "result": None}
        found: dict[str, Any] = super()._get_task_meta_for(task_id)
        return found

    def _set(self, key: str | bytes, value: str, expires: int | None = None) -> None:
        run = ending_run()
        if run is not None and self._is_kept(run.task_id) and key == self.get_key_for_task(run.task_id):
            run.result = StoredResult(key, value, int((self.expires if expires is None else expires) or 0))
        else:
            super()._set(key, value, expires)

    def stored(self, task_id: str, result: Any, state: str, request: Any) -> StoredResult:
        """Return a result in the form in which Celery's ``store_result`` stores it."""
        meta = self._get_result_meta(self.encode_result(result, state), state, None, request)
        meta["task_id"] = task_id
        return StoredResult(self.get_key_for_task(task_id), self.encode(meta), int(self.expires or 0))

    def give_up_chord(self, run: Run) -> None:
        """Give up the claim of ``run`` on a chord's body: the next run need not wait until the claim expires."""
        if run.chord_claim is not None:
            key, token = run.chord_claim
            self.client.eval(_UNCLAIM, 1, key, token)

    def _is_kept(self, task_id: str | None) -> bool:
        """True if the result of a task waits for the end of its check."""
        run = ending_run()
        return run is not None and run.is_one_step and run.task_id == task_id

    def mark_as_failure(self, task_id: str, exc: Any, *args: Any, **kwargs: Any) -> None:
        run = ending_run()
        if _breaks_run() or (run is not None and run.is_shelved):
            return
        if run is not None and task_id == run.task_id:
            if run.is_failed:
                return  # Celery cannot publish an errback, and fails the check again: the first failure counts
            # the task may have succeeded: the failure is then that of publishing its follow-ups
            run.fails_instead()
            run.is_failed = True
        super().mark_as_failure(task_id, exc, *args, **kwargs)

    def chord_error_from_stack(self, callback: Any, exc: Any = None) -> Any:
        return None if _breaks_run() else super().chord_error_from_stack(callback, exc)

    @cached_property
    def _chord_part_return_script(self) -> Callable[..., Any]:
        count_part = super()._chord_part_return_script

        def counted(*args: Any, **kwargs: Any) -> Any:
            # the script counts a part once, however often it runs
            ready, more, size, claimed = self.ensure(partial(count_part, **kwargs), args)
            run = ending_run()
            if run is not None and size and ready == int(size) + int(more or 0) and not claimed:
                # the run with the claim may have died: Celery waits until the claim expires, and then nobody asks again
                run.chord_is_claimed = True
            return ready, more, size, claimed

        return counted

    @cached_property
    def _chord_claim_extend_script(self) -> Callable[..., Any]:
        extend = super()._chord_claim_extend_script

        def extended(*args: Any, **kwargs: Any) -> Any:
            is_ours = extend(*args, **kwargs)
            run = ending_run()
            if run is not None and not is_ours:
                run.chord_is_claimed = True
            return is_ours

        return extended

    @cached_property
    def _chord_cleanup_script(self) -> Callable[..., Any]:
        clean_up = super()._chord_cleanup_script

        def put_off(*, keys: list[str], args: list[Any], client: redis.Redis) -> Any:
            run = ending_run()
            if run is not None and run.is_broken:
                # the body was not published: the next run publishes it, and need not wait until the claim expires
                return client.register_script(_UNCLAIM)(keys=keys[:1], args=args[:1])
            if run is None or not self._commits_ends:
                return clean_up(keys=keys, args=args, client=client)
            run.also.append(Also(clean_up, keys, args))
            run.chord_claim = keys[0], args[0]
            return 1

        return put_off


def passes(error: BaseException | None) -> bool:
    """True if an error of store, broker or result backend passes by itself."""
    if isinstance(error, (BackendError, RuntimeError)):
        # Celery wraps the error of its last attempt in these
        return passes(error.__cause__)
    if isinstance(error, OperationalError):
        # kombu raises this for a message that it cannot make, and for a refusal of a broker that is there, too
        return passes(error.__cause__) or not isinstance(error.__cause__, _FOR_GOOD)
    return isinstance(error, STORE_AWAY)


def _breaks_run() -> bool:
    """True if a run is under way, and the error being handled breaks that run instead of failing its check."""
    run = current_run()
    if run is None or not passes(sys.exception()):
        return False
    run.is_broken = True
    return True


def use_backend(app: Celery) -> None:
    """Make :class:`Backend` the result backend of ``app`` for each Redis."""
    ours = dict.fromkeys(SCHEMES, f"{__name__}:Backend")
    app.loader.override_backends = {**app.loader.override_backends, **ours}
