"""Fails a check whose end the store refuses each time: an error of a script is the same however often it is tried.

What is refused may be mended by a person (a queue's name that is another kind of key), so some runs try it first.
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
    """Takes in that the store refuses the end of ``run`` for a reason that does not pass by itself: what a script
    meets, for example, is the same each time."""
    run.refusal = error
    try:
        if isinstance(task.backend, Backend):
            task.backend.give_up_chord(run)
        task.keep_ending(run, task_id, retval)
        run.refusals = task.runtime.records.count_refusal(task_id)
    except RedisError as more:
        # what cannot be counted for good is given up at once
        run.refusals = 1 if passes(more) else REFUSALS
    # the text of one that a script has met may name a queue
    said = f"{type(error).__name__}: {error}; attempt {run.refusals} of {REFUSALS}, then the check fails"
    log.error("end_not_stored", said, task_id=task_id, appid=run.appid)


def give_up(task: Task, run: Run, uuid: str, args: Any, kwargs: Any, request: dict[str, Any]) -> Any:
    """Fails a check whose end the store refuses each time, with that error and its errbacks.

    None: the store has gone away meanwhile.
    """
    failure = run.refusal
    log.error("end_refused", f"{type(failure).__name__}; the check fails", task_id=uuid, appid=run.appid)
    context = Context(request, args=args, kwargs=kwargs, called_directly=False)
    # its part may be counted already, and what was refused may be the body
    body, context.chord = maybe_signature(context.chord, app=task.app), None
    run.fails_instead()
    told = TraceInfo(FAILURE, failure)
    einfo = told.handle_error_state(task, context)
    if body is not None:
        try:
            # Celery wants it on the stack
            raise ChordError(f"{uuid}: {type(failure).__name__}: {failure}")  # noqa: TRY301
        except ChordError as error:
            task.backend.chord_error_from_stack(body, error)
        if isinstance(task.backend, Backend):
            # or a part that comes later would complete it
            task.backend.client.delete(task.backend.get_key_for_group(context.group, ".s"))
    try:
        run.is_committed = task.insist(partial(task.store_end, run, uuid, failure, kwargs))
    except RedisError as error:
        run.is_broken = passes(error)
        if not run.is_broken:
            _fail_step_by_step(task, run, context, failure, kwargs)
    return trace_ok_t(einfo, told, 0.0, None) if run.is_committed else None


def _fail_step_by_step(task: Task, run: Run, context: Context, failure: Any, kwargs: Any) -> None:
    """Fails a check whose failure cannot be one step either.

    Its record ends, then its caller and its errbacks are told, as far as that goes; its message is done with.
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
