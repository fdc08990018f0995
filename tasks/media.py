"""``wxcheck.check_media``: a picture or a sound, whose verdict WeChat pushes later."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NoReturn

from celery.exceptions import Ignore

from config.logs import Log
from config.store import STORE_AWAY
from tasks.check import CheckTask
from worker.app import app
from worker.checks import media_check
from worker.messages import encode_rest
from worker.parking import Parked, Superseded, TraceIdTaken
from worker.verdicts import NoVerdict, accepted_trace_id
from wxcheck import CHECK_MEDIA, WAITING

if TYPE_CHECKING:
    from worker.checks import Check

log = Log(__name__)


@app.task(base=CheckTask, name=CHECK_MEDIA, bind=True)
def check_media(self: CheckTask, *args: Any, **kwargs: Any) -> None:
    """Sends a picture or a sound and parks the rest of its chain until the push comes, which finishes it under the
    same task id; takes what :func:`wxcheck.check_media` takes, the URL first."""
    check = media_check(args, kwargs, self.runtime.settings)
    answer = self.ask(check)
    try:
        trace_id = accepted_trace_id(answer)
    except NoVerdict as lack:
        self.try_again(check, str(lack), taken=True)
    _announce_waiting(self, trace_id)
    _park(self, check, trace_id)


def _announce_waiting(task: CheckTask, trace_id: str) -> None:
    """Shows the check as WAITING. Before it is parked: afterwards this could overwrite its result.

    The platform has taken the check, so nothing that goes wrong here may keep it from being parked.
    """
    since = time.time()
    waiting = {"trace_id": trace_id, "since": since, "deadline": since + task.runtime.settings.push_timeout}
    try:
        task.send_event("task-waiting", **waiting)
        if not task.request.ignore_result:
            task.update_state(state=WAITING, meta=waiting)
    except Exception as error:  # noqa: BLE001 - each backend and broker has errors of its own
        log.warning("waiting_not_shown", type(error).__name__, task_id=task.request.id, trace_id=trace_id)


def _park(task: CheckTask, check: Check, trace_id: str) -> NoReturn:
    task_id = task.request.id
    # the kind is not in the push; the finish takes it from here
    settings = task.runtime.settings
    with_arguments = settings.dead_letter_days > 0 and settings.dead_letter_content
    rest = encode_rest(task.request, shadow=task.name, kind=check.kind, with_arguments=with_arguments)
    run = task.this_run.token
    try:
        pushed = task.insist(lambda: task.runtime.parking.park(check.appid, trace_id, task_id, rest, run))
    except STORE_AWAY:
        task.give_back()
    except Superseded:
        identity = {"task_id": task_id, "trace_id": trace_id, "appid": check.appid}
        log.warning("call_superseded", "its push will be nobody's", **identity)
        task.lose()
    except TraceIdTaken:
        task.try_again(check, f"trace_id {trace_id}, which another check has", taken=True)
    log.info("parked", "it waits for its push", task_id=task_id, trace_id=trace_id, appid=check.appid)
    if pushed:
        task.finish(Parked(check.appid, trace_id, task_id, rest))
    raise Ignore
