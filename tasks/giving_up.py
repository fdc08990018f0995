"""A check fails if the store refuses its end at each attempt: the error of a script does not pass by itself.

A person may mend the cause (a key of another kind has a queue's name), so some runs try before the check fails.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from celery.app.task import Context, Task
from celery.app.trace import TraceInfo, trace_ok_t
from celery.canvas import maybe_signature
from celery.exceptions import ChordError
from celery.states import FAILURE
from redis.exceptions import RedisError

from config.logs import Log
from worker.celery_parts.backend import Backend, passes

if TYPE_CHECKING:
    from store.outbox.outbox import Run

log = Log(__name__)

#: runs whose end the store refuses before the check fails
REFUSALS = 10


def note_refusal(task: Task, run: Run, task_id: str, retval: Any, error: RedisError) -> None:
    """Note that the store refuses the end of ``run`` with ``error``, which does not pass by itself."""
    run.refusal = error
    try:
        if isinstance(task.backend, Backend):
            task.backend.give_up_chord(run)
        task.keep_ending(run, task_id, retval)
        run.refusals = task.runtime.records.count_refusal(task_id)
    except RedisError as more:
        # a refusal that can never be counted is the last
        run.refusals = 1 if passes(more) else REFUSALS
    # the text of a script's error may name the queue to mend
    said = f"{type(error).__name__}: {error}; attempt {run.refusals} of {REFUSALS}, then the check fails"
    log.error("end_not_stored", said, task_id=task_id, appid=run.appid)


def fail_refused(task: Task, run: Run, uuid: str, args: Any, kwargs: Any, request: dict[str, Any]) -> Any:
    """Fail a check with the error for which the store refuses its end each time; its errbacks are published.

    Returns Celery's outcome of the run, or None if the store has gone away meanwhile.
    """
    failure = run.refusal
    log.error("end_refused", f"{type(failure).__name__}; the check fails", task_id=uuid, appid=run.appid)
    context = Context(request, args=args, kwargs=kwargs, called_directly=False)
    # the chord may have counted this part already, and the refused message may be the chord's body
    body, context.chord = maybe_signature(context.chord, app=task.app), None
    run.fails_instead()
    told = TraceInfo(FAILURE, failure)
    einfo = told.handle_error_state(task, context)
    if body is not None:
        try:
            # Celery takes the error from the stack
            raise ChordError(f"{uuid}: {type(failure).__name__}: {failure}")  # noqa: TRY301
        except ChordError as error:
            task.backend.chord_error_from_stack(body, error)
        if isinstance(task.backend, Backend):
            # a later part would complete the chord
            task.backend.client.delete(task.backend.get_key_for_group(context.group, ".s"))
    try:
        run.is_committed = task.insist(partial(task.store_end, run, uuid, failure, kwargs))
    except RedisError as error:
        run.is_broken = passes(error)
        if not run.is_broken:
            _fail_step_by_step(task, run, context, failure, kwargs)
    return trace_ok_t(einfo, told, 0.0, None) if run.is_committed else None


def _fail_step_by_step(task: Task, run: Run, context: Context, failure: Any, kwargs: Any) -> None:
    """Fail a check whose failure the store refuses as one step, too.

    The record ends, then the caller and the errbacks are told as far as possible. The message is done with.
    """
    run.fails_instead()
    steps = (
        partial(task.store_end, run, context.id, failure, kwargs),
        partial(task.backend.mark_as_failure, context.id, failure, request=context),
    )
    for step in steps:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - each backend and broker has errors of its own
            said = f"{type(error).__name__}; not all could be told that it failed"
            log.error("end_refused", said, task_id=context.id, appid=run.appid)  # noqa: TRY400
        run.is_ending = False
    run.is_committed = True
