"""The bases of all tasks: a task's arguments are never shown, and a check ends once."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from celery import Task
from celery.app.trace import IGNORE_STATES, TraceInfo, report_internal_error, trace_ok_t
from celery.exceptions import Ignore
from celery.states import FAILURE, IGNORED
from redis.exceptions import ResponseError

from config.logs import Log
from store.connection import STORE_AWAY, reason
from store.places.forms import Ended
from store.quota.permits import STORE_PAUSE
from worker.celery_parts.request import raised
from worker.ending.left import REQUEST, Left, keep_by
from worker.ending.publications import rendered
from worker.ending.relay import Relay, failed, send
from worker.run import Run, current_run, run_begins
from worker.runtime import Runtime, runtime
from wxcheck import CheckCancelled, CheckError, PushTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

log = Log(__name__)

#: attempts at a step that must not be lost, since the steps before it cannot be taken back
STORE_ATTEMPTS = 10
#: attempts at such a step that the store refuses with an error of its script
SCRIPT_ATTEMPTS = 3


class WxcheckTask(Task):  # type: ignore[misc]  # Celery ships no types
    """A task that deals with a check in hand. Its function takes its run beside the arguments of the message.

    What follows from its end (:mod:`worker.ending`) goes out with the step that ends the check. If the store does not
    take the end, the check's lease ends, and another run ends the check.
    """

    Request = "worker.celery_parts.request:CheckRequest"
    #: expected failures, which Celery logs in one line, without a traceback
    throws = (CheckError,)
    #: characters of a result that are shown: 'suggest' and 'label', but not 'detail', which may quote the user's text
    resultrepr_maxsize = 64
    #: Celery checks no arguments
    typing = False
    _trace: Any = None

    @property
    def runtime(self) -> Runtime:
        return runtime()

    @property
    def __trace__(self) -> Any:
        """The function by which Celery runs the task, with the run around it."""
        return self._trace

    @__trace__.setter
    def __trace__(self, trace: Any) -> None:
        self._trace = trace and partial(self._traced, trace)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task's function, with its run as the first argument."""
        run = current_run()
        if run is None:
            raise RuntimeError("a check is sent by a worker; enqueue it with apply_async")
        try:
            return self.act(run, args, kwargs)
        finally:
            # whatever leaves this thread from now on follows from the end
            keep_by(run.left)

    def act(self, run: Run, args: Any, kwargs: Any) -> Any:
        """Do the task's own part. Return its result, or raise its failure."""
        return self.run(run, *args, **kwargs)

    def insist(self, run: Run, step: Callable[[], T]) -> T:
        """Do a step of the store that must not be lost, in at most STORE_ATTEMPTS attempts.

        Raises:
            one of STORE_AWAY: the store stays away.
            redis.exceptions.ResponseError: the store has refused the step SCRIPT_ATTEMPTS times.
        """
        for attempt in range(1, STORE_ATTEMPTS):
            try:
                return step()
            except STORE_AWAY as error:
                said = f"{reason(error)}; attempt {attempt} of {STORE_ATTEMPTS}, trying on"
                log.warning("store_away", said, task_id=run.task_id, appid=run.appid)
            except ResponseError as error:
                said = f"{type(error).__name__}: {error}; attempt {attempt} of {SCRIPT_ATTEMPTS}, then the check fails"
                log.error("end_not_stored", said, task_id=run.task_id, appid=run.appid)  # noqa: TRY400 - the text is the script's
                if attempt >= SCRIPT_ATTEMPTS:
                    raise
            time.sleep(STORE_PAUSE)
        return step()

    def _traced(self, trace: Any, uuid: str, args: Any, kwargs: Any, request: Any) -> Any:
        run = Run(request["delivery_info"]["in_hand"])
        run.in_hand.is_run = True
        run.left.request = {name: request[name] for name in REQUEST if request.get(name) is not None}
        with run_begins(run):
            try:
                traced = self._trace_all(trace, uuid, args, kwargs, request)
            finally:
                keep_by(None)
            if traced.info is not None and traced.info.state in IGNORE_STATES:
                return traced  # its check has moved
            if self.end(run, traced.info.retval if traced.info is not None else traced.retval):
                return traced
        # another run ends the check; this one tells nothing
        return traced._replace(retval=raised(Ignore()), info=TraceInfo(IGNORED))

    def _trace_all(self, trace: Any, uuid: str, *arguments: Any) -> Any:
        """Run the task. An error that Celery lets through came while Celery was reporting a failure."""
        try:
            return trace(uuid, *arguments)
        except MemoryError:
            raise  # the pool gives the check back
        except Exception as error:  # noqa: BLE001 - the consumer would acknowledge the message, and end nothing
            return trace_ok_t(report_internal_error(self, error), TraceInfo(FAILURE, error), 0.0, None)

    def end(self, run: Run, ended: Any) -> bool:
        """End the check in hand, which has ``ended`` with a result or a failure. Return False if another run does."""
        if run.held.id != run.task_id:
            # the result under its task id is that of the check which has the id
            own = self.backend.key_of(run.task_id)
            run.left.results = [result for result in run.left.results if result.key != own]
        letter = self.runtime.dead_letters.letter_of(self.name, run.held.text, run.held.appid, ended)
        try:
            said, outbox = self.insist(run, partial(self._finish, run, Ended(how_of(ended), letter=letter)))
        except STORE_AWAY as error:
            run.in_hand.is_moved = True
            said = f"{reason(error)}; its lease ends, and another run ends it"
            log.error("end_not_stored", said, task_id=run.task_id, appid=run.appid)  # noqa: TRY400
            self.runtime.statistics.count("refused_end")
            return False
        except ResponseError as error:
            self._give_up(run, error)
            return True
        if said != "ended":
            log.warning("end_repeated", "another run has it since", task_id=run.task_id, appid=run.appid)
            return False
        self.runtime.statistics.ended(ended, run.task_id, run.appid)
        if outbox:
            Relay(self.app, self.runtime.places, self.runtime.settings, run.held.entry, outbox).bring_out()
        return True

    def _finish(self, run: Run, end: Ended) -> tuple[str, Left]:
        """Return what the store says to the end of a run, and what it has left in the outbox."""
        left = run.left
        if self.runtime.settings.is_one_redis:
            # the parts of chords are counted by Celery
            later = replace(left, results=[], publications=[]) if left.chord_parts else Left()
            try:
                messages = rendered(self.app, left.publications)
                now = end._replace(results=left.results, messages=messages, outbox=later.text() if later else "")
                return run.in_hand.finish(now, run.settled), later
            except STORE_AWAY:
                raise
            except Exception as error:  # noqa: BLE001 - kombu has errors of its own, and the script
                said = f"{type(error).__name__}; what follows is brought out by itself"
                log.warning("end_not_stored", said, task_id=run.task_id, appid=run.appid)
        return run.in_hand.finish(end._replace(outbox=left.text() if left else ""), run.settled), left

    def _give_up(self, run: Run, error: ResponseError) -> None:
        """Fail a check whose end the store does not take in any form; tell so as far as possible."""
        said = f"{type(error).__name__}: {error}; the check fails"
        log.error("end_refused", said, task_id=run.task_id, appid=run.appid)
        try:
            run.in_hand.forget()
            send(self.app, failed(self.app, run.left, error))
        except Exception as more:  # noqa: BLE001 - each backend and broker has errors of its own
            said = f"{type(more).__name__}; not all could be told that it failed"
            log.error("end_refused", said, task_id=run.task_id, appid=run.appid)  # noqa: TRY400


def how_of(ended: Any) -> str:
    """Return how a check has ended, as the mark of its end says it."""
    if isinstance(ended, PushTimeout):
        return "timeout"
    if isinstance(ended, CheckCancelled):
        return "cancelled"
    return "failed" if isinstance(ended, BaseException) else "done"
