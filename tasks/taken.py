"""Two checks with different content have one task id (:mod:`store.records.digest`)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NoReturn

from celery import Task
from celery.exceptions import Ignore
from celery.states import FAILURE

from config.logs import Log
from store.connection import STORE_AWAY
from worker.celery_parts.backend import passes
from wxcheck import InvalidCheck

if TYPE_CHECKING:
    from store.outbox.outbox import Run

log = Log(__name__)


def refuse_taken(task: Task, run: Run) -> NoReturn:
    """Fail a check because a check with other content is under way under the same task id.

    Chord, chain and errbacks are told of the failure. No result is stored: the result under this id is the other
    check's.
    """
    request = task.request
    log.warning("task_id_taken", "by a check with other content; this one fails", task_id=request.id, appid=run.appid)
    failure = InvalidCheck(
        "task_id: a check with other content is under way by the same one; give each check a task id of its own"
    )
    run.is_ending = True
    try:
        if request.chord:
            task.backend.on_chord_part_return(request, FAILURE, failure)
        task.backend._fail_chain(request.chain, failure)
        if request.errbacks:
            task.backend._call_task_errbacks(request, failure, None)
        task.insist(partial(task.runtime.records.end_message, run))
    except Exception as error:  # noqa: BLE001 - each backend and broker has errors of its own
        if passes(error):
            run.is_ending = False
            task.give_back_for_store(run)
        # an error that does not pass: nobody else can be told
        log.error("not_followed_up", type(error).__name__, task_id=request.id, appid=run.appid)  # noqa: TRY400
    task.runtime.statistics.ended(failure, request.id, run.appid)
    raise Ignore


def forget_result(task: Task, run: Run) -> None:
    """Remove the result of a check with other content that ended under the same task id.

    That result is no verdict on this check, and Celery overwrites no success.
    """
    try:
        task.backend.forget(task.request.id)
    except STORE_AWAY:
        raise
    except Exception as error:  # noqa: BLE001 - each backend has errors of its own
        log.warning("result_not_forgotten", type(error).__name__, task_id=task.request.id, appid=run.appid)
