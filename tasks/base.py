"""The bases of all tasks: a task's arguments are never shown, and a check ends once."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from billiard.einfo import ExceptionInfo
from celery import Task
from celery.app.trace import IGNORE_STATES, TraceInfo, report_internal_error, trace_ok_t
from celery.exceptions import Ignore, Reject, Retry
from celery.states import FAILURE, IGNORED
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from config.logs import Log
from config.names import FINISH, PUSH_QUEUE
from store.connection import STORE_AWAY, reason
from store.outbox.outbox import Run, delivery_of, run_begins
from store.quota.permits import STORE_PAUSE
from tasks.giving_up import REFUSALS, fail_refused, note_refusal
from worker.celery_parts.backend import passes
from worker.celery_parts.request import ALONE, GivenBack, raised
from worker.runtime import Runtime, publish_finish, runtime
from wxcheck import CHECK_MEDIA, CHECK_TEXT, MEDIA_QUEUE, TEXT_QUEUE, CheckError

if TYPE_CHECKING:
    from collections.abc import Callable

    from store.parked.parked import Parked

T = TypeVar("T")

log = Log(__name__)

#: queue of each task that ends a check
QUEUE_OF = {CHECK_TEXT: TEXT_QUEUE, CHECK_MEDIA: MEDIA_QUEUE, FINISH: PUSH_QUEUE}
#: attempts at a step that must not be lost, since the steps before it cannot be taken back
STORE_ATTEMPTS = 10


class WxcheckTask(Task):  # type: ignore[misc]  # Celery ships no types
    """A task whose arguments are never shown."""

    Request = "worker.celery_parts.request:CheckRequest"
    #: expected failures, which Celery logs in one line, without a traceback
    throws = (CheckError,)
    #: characters of a result that are shown: 'suggest' and 'label', but not 'detail', which may quote the user's text
    resultrepr_maxsize = 64

    @property
    def runtime(self) -> Runtime:
        return runtime()

    def insist(self, step: Callable[[], T]) -> T:
        """Do a step of the store that must not be lost, in at most STORE_ATTEMPTS attempts.

        Raises:
            one of STORE_AWAY: the store stays away.
        """
        for attempt in range(1, STORE_ATTEMPTS):
            try:
                return step()
            except STORE_AWAY as error:
                said = f"{reason(error)}; attempt {attempt} of {STORE_ATTEMPTS}, trying on"
                log.warning("store_away", said, task_id=self.request.id)
                time.sleep(STORE_PAUSE)
        return step()

    def requeue_for_store(self) -> NoReturn:
        """Give the message back to its queue, because the store is away and nothing can be done without the store."""
        log.warning("store_away", f"{reason(sys.exception())}; its message goes back", task_id=self.request.id)
        time.sleep(STORE_PAUSE)
        raise Reject("the store is away", requeue=True)

    def finish(self, parked: Parked) -> None:
        """Publish the finish of a check, unless the store has published the finish.

        If the broker does not take the finish, the sweeper publishes it when its lease is over.
        """
        try:
            publish_finish(self.app, parked)
        except OperationalError as error:
            identity = {"task_id": parked.task_id, "trace_id": parked.trace_id, "appid": parked.appid}
            log.warning("finish_not_published", f"{error}; the sweeper does it", **identity)


class EndingNoted(Exception):
    """An earlier run has noted how the check ends: ``ended`` is its result or its failure."""

    def __init__(self, ended: Any) -> None:
        super().__init__()
        self.ended = ended


class EndingTask(WxcheckTask):
    """A task that may end a check: the follow-ups are published in one step with the end (:mod:`store.outbox`).

    Celery publishes the follow-ups, stores the result and calls ``after_return``, in this order. If the store does not
    take the end then, the message goes back, and another run ends the check.
    """

    @property
    def __trace__(self) -> Any:
        """The function by which Celery runs the task, with the run around it."""
        return self._trace

    @__trace__.setter
    def __trace__(self, trace: Any) -> None:
        self._trace = trace and self._traced(trace)

    _trace: Any = None
    #: Celery checks no arguments, since the function takes its run beside the arguments of the message
    typing = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task's function, with its run as the first argument."""
        run: Run | None = (self.request.delivery_info or {}).get("run")
        if run is None:  # called as a function, outside of a worker: nothing follows
            return self.run(Run(), *args, **kwargs)
        try:
            ended = self.run(run, *args, **kwargs)
        except (Ignore, Reject, Retry):
            raise
        except EndingNoted as noted:
            ended = self.note_ending(run, noted.ended)
        except Exception as failure:
            ended = self.note_ending(run, failure)
            if ended is failure:
                raise
        else:
            ended = self.note_ending(run, ended)
        finally:
            run.is_ending = True
        if isinstance(ended, Exception):
            raise ended
        return ended

    def after_return(self, _status: str, retval: Any, task_id: str, _args: Any, kwargs: Any, _einfo: Any) -> None:
        run: Run | None = (self.request.delivery_info or {}).get("run")
        if run is not None:  # else it was called as a function, outside of a worker
            self.end(run, retval, task_id, kwargs)

    def end(self, run: Run, retval: Any, task_id: str, kwargs: Any) -> None:
        """End the check, which returned or raised ``retval``. ``run`` then knows how far the end has come."""
        run.is_told = True
        if run.chord_is_claimed:
            said = "another run may have died with its body; tried again"
            log.warning("chord_claimed", said, task_id=task_id, appid=run.appid)
            return
        if run.is_broken:
            return
        try:
            if self.runtime.dead_letters.keeps(retval):
                message = self.insist(partial(self.message_to_replay, kwargs))
                if message is not None:
                    self.runtime.dead_letters.keep(run, task_id, message, retval)
            run.is_committed = self.insist(partial(self.store_end, run, task_id, retval, kwargs))
        except RedisError as error:
            run.is_broken = passes(error)
            if run.is_broken:
                said = f"{type(error).__name__}: {error}; tried again until the store takes it"
                log.error("end_not_stored", said, task_id=task_id, appid=run.appid)  # noqa: TRY400
            else:
                note_refusal(self, run, task_id, retval, error)

    def ends_in_one_step(self, request: dict[str, Any], kwargs: Any) -> bool:  # noqa: ARG002
        """True if the result is stored with the end; a chord reads and counts the result before the end."""
        return self.runtime.settings.is_one_redis and not request.get("chord")

    def digest(self, args: Any, kwargs: Any) -> str:  # noqa: ARG002
        """Return the digest of a check with these arguments (:mod:`store.records.digest`); '' for any other task."""
        return ""

    def note_ending(self, run: Run, ended: Any) -> Any:  # noqa: ARG002
        """Note the result or failure of ``run`` before anything follows from it. Return the ending that counts."""
        return ended

    def keep_ending(self, run: Run, task_id: str, retval: Any) -> None:
        """Keep the ending of ``run`` for the next run, because the store refused the end itself."""

    def message_to_replay(self, kwargs: Any) -> dict[str, Any] | None:
        """Return the message of the check that the run ends, as :mod:`worker.messages` makes it; None if it is gone."""
        raise NotImplementedError

    def store_end(self, run: Run, task_id: str, retval: Any, kwargs: Any) -> bool:
        """Store the end of the check, which returned or raised ``retval``. Return True if its message is done with."""
        raise NotImplementedError

    def leave_to_others(self, run: Run, task_id: str, kwargs: Any) -> None:
        """Give up the lease or claim of ``run``, so that another run ends the check; the message goes back."""
        raise NotImplementedError

    def _traced(self, trace: Any) -> Any:
        def traced(uuid: str, args: Any, kwargs: Any, request: Any = None) -> Any:
            with run_begins(uuid) as run:
                delivery = (request or {}).get("delivery_info") or {}
                run.in_hand = delivery.get("in_hand")
                # in delivery_info: Celery takes an unknown key beside it for a header of the messages that follow
                request = {**(request or {}), "delivery_info": {**delivery, "run": run}}
                run.is_one_step = self.ends_in_one_step(request, kwargs)
                run.digest = self.digest(args, kwargs)
                run.delivery = delivery_of(delivery)
                traced = self._trace_all(run, trace, uuid, args, kwargs, request)
                if traced.info is None and not run.is_told and isinstance(traced.retval, ExceptionInfo):
                    traced, kwargs = self._refused(traced, uuid), {}
                # Celery gives no info on a success
                ended = traced.info is None or traced.info.state not in IGNORE_STATES
                if not ended or run.is_committed:
                    self._count_move(traced.info)
                    return traced
                if run.is_shelved:
                    self._count_move()
                    # Celery could not report the retry, and takes its own error for a failure of the task
                    return traced._replace(retval=raised(Ignore()), info=TraceInfo(IGNORED))
                if traced.info is not None and self._fails(run, traced.info.retval, uuid, kwargs):
                    self._count_move()
                    return traced
                if run.refusals >= REFUSALS:
                    failed = fail_refused(self, run, uuid, args, kwargs, request)
                    if failed is not None:
                        self._count_move()
                        return failed
                self.runtime.statistics.refused_end()
                if run.is_broken and not run.is_told:
                    said = "what follows could not be told; tried again"
                    log.warning("end_not_stored", said, task_id=uuid, appid=run.appid)
                try:
                    self.leave_to_others(run, uuid, kwargs)
                except RedisError as error:
                    said = f"{type(error).__name__}; its lease ends"
                    log.info("not_released", said, task_id=uuid, appid=run.appid)
            time.sleep(STORE_PAUSE)
            given_back = GivenBack("store" if run.is_broken else ALONE, STORE_PAUSE)
            return traced._replace(retval=raised(given_back), info=TraceInfo(IGNORED))

        return traced

    def _count_move(self, info: Any = None) -> None:
        """Count that a message has left the task's queue, unless the message goes back to the queue."""
        if not isinstance(getattr(info, "retval", None), GivenBack | Reject):
            self.runtime.statistics.moved(QUEUE_OF.get(self.name, PUSH_QUEUE))

    def _refused(self, traced: Any, uuid: str) -> Any:
        """Fail a message that Celery cannot run, for example because its arguments are no list."""
        failure = getattr(traced.retval.exception, "exc", traced.retval.exception)
        self.backend.mark_as_failure(uuid, failure)
        return traced._replace(info=TraceInfo(FAILURE, failure))

    def _fails(self, run: Run, failure: Any, uuid: str, kwargs: Any) -> bool:
        """Fail a check whose follow-ups failed, which Celery reports to nobody. Return True if that end is stored."""
        if run.is_told or run.is_broken:
            return False
        log.error("not_followed_up", f"{type(failure).__name__}; the check fails", task_id=uuid, appid=run.appid)
        self.end(run, failure, uuid, kwargs)
        return run.is_committed

    def _trace_all(self, run: Run, trace: Any, uuid: str, *arguments: Any) -> Any:
        """Run the task. An error that Celery lets through came while Celery was reporting a failure."""
        try:
            return trace(uuid, *arguments)
        except (Reject, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - the consumer would acknowledge the message, and end nothing
            run.is_broken |= passes(error)
            return trace_ok_t(report_internal_error(self, error), TraceInfo(FAILURE, error), 0.0, None)
