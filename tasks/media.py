"""``wxcheck.check_media``: a picture or a sound, whose verdict WeChat pushes later."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from celery.exceptions import Ignore

from config.logs import Log
from tasks.check import CheckTask
from wechat.checks import media_check
from wechat.verdicts import NoVerdict, accepted_trace_id
from worker.celery import app
from worker.celery_parts.request import ParkedCheck
from wxcheck import CHECK_MEDIA, WAITING

if TYPE_CHECKING:
    from wechat.checks import Check
    from worker.run import Run

log = Log(__name__)


@app.task(base=CheckTask, name=CHECK_MEDIA, bind=True)
def check_media(self: CheckTask, run: Run, *args: Any, **kwargs: Any) -> None:
    """Send a picture or a sound, and park the check until its push comes; another run then tells its end.

    Takes the arguments of :func:`wxcheck.check_media`, the URL first.
    """
    check = media_check(args, kwargs, self.runtime.settings)
    answer = self.ask(run, check)
    try:
        trace_id = accepted_trace_id(answer)
    except NoVerdict as lack:
        self.try_again(run, check, str(lack), taken=True)
    _park(self, run, check, trace_id)


def _park(task: CheckTask, run: Run, check: Check, trace_id: str) -> NoReturn:
    seconds, since = task.runtime.settings.push_timeout, time.time()
    waiting = ParkedCheck(trace_id, since, since + seconds)
    identity = {"task_id": run.task_id, "trace_id": trace_id, "appid": check.appid}
    shown = task.shown(run, waiting.event(), WAITING)
    said = task.move(run, partial(run.in_hand.park, trace_id, seconds, run.settled, shown, media=check.kind))
    if said == "traced":
        task.try_again(run, check, f"trace_id {trace_id}, which another check has", taken=True)
    if said not in ("parked", "ready"):
        # its lease has ended: it waits for another call, or another run has it
        log.warning("call_superseded", "its push will be nobody's", **identity)
        raise Ignore
    log.info("parked", "it waits for its push", **identity)
    raise waiting
