"""``wxcheck.check_media``: a picture or a sound, whose verdict WeChat pushes later."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from config.logs import Log
from store.connection import STORE_AWAY
from store.outbox.outbox import NO_RESULT, StoredResult
from store.parked.parked import Parked, Superseded, TraceIdTaken
from tasks.check import CheckTask
from wechat.checks import media_check
from wechat.verdicts import NoVerdict, accepted_trace_id
from worker.celery import app
from worker.celery_parts.request import ParkedCheck
from worker.messages import keep_message
from wxcheck import CHECK_MEDIA, WAITING

if TYPE_CHECKING:
    from store.outbox.outbox import Run
    from wechat.checks import Check

log = Log(__name__)


@app.task(base=CheckTask, name=CHECK_MEDIA, bind=True)
def check_media(self: CheckTask, run: Run, *args: Any, **kwargs: Any) -> None:
    """Send a picture or a sound, and park the check until its push comes; the finish has the same task id.

    Takes the arguments of :func:`wxcheck.check_media`, the URL first.
    """
    check = media_check(args, kwargs, self.runtime.settings)
    answer = self.ask(run, check)
    try:
        trace_id = accepted_trace_id(answer)
    except NoVerdict as lack:
        self.try_again(run, check, str(lack), taken=True)
    _park(self, run, check, trace_id)


def _shown_waiting(task: CheckTask, run: Run, waiting: ParkedCheck) -> StoredResult:
    """Return the result that shows the check as WAITING, to be stored in the step that parks the check.

    If that cannot be one step, the result is stored here: stored after the parking, WAITING could overwrite the
    end. The platform has taken the check, so no error here may keep the check from being parked.
    """
    if task.request.ignore_result:
        return NO_RESULT
    try:
        if task.runtime.settings.is_one_redis:
            shown: StoredResult = task.backend.stored(task.request.id, waiting.event(), WAITING, task.request)
            return shown
        if task.runtime.records.has(task.request.id, run.token):  # else another run may have ended the check
            task.update_state(state=WAITING, meta=waiting.event())
    except Exception as error:  # noqa: BLE001 - each backend and broker has errors of its own
        log.warning("waiting_not_shown", type(error).__name__, task_id=task.request.id, trace_id=waiting.trace_id)
    return NO_RESULT


def _park(task: CheckTask, run: Run, check: Check, trace_id: str) -> NoReturn:
    task_id, settings = task.request.id, task.runtime.settings
    since = time.time()
    waiting = ParkedCheck(trace_id, since, since + settings.push_timeout)
    # the kind is not in the push; the finish takes it from here
    with_arguments = settings.dead_letter_days > 0 and settings.dead_letter_content
    kept = keep_message(task, check.appid, trace_id, check.kind, with_arguments=with_arguments)
    shown = _shown_waiting(task, run, waiting)
    park = partial(task.runtime.parking.park, check.appid, trace_id, task_id, kept, run.token, shown, run.delivery)
    try:
        pushed = task.insist(park)
    except STORE_AWAY:
        task.give_back_for_store(run)
    except Superseded:
        identity = {"task_id": task_id, "trace_id": trace_id, "appid": check.appid}
        log.warning("call_superseded", "its push will be nobody's", **identity)
        task.lose(run)
    except TraceIdTaken:
        task.try_again(run, check, f"trace_id {trace_id}, which another check has", taken=True)
    log.info("parked", "it waits for its push", task_id=task_id, trace_id=trace_id, appid=check.appid)
    if pushed and not kept.is_message:
        task.finish(Parked(check.appid, trace_id, task_id, kept.text))
    raise waiting
