"""The end of a media check: its push is matched, and its finish runs under the check's own task id."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from celery.exceptions import Ignore

from config.logs import Log
from config.names import CANCEL, FINISH, PUSH_QUEUE, RECEIVE_PUSH
from store.connection import STORE_AWAY
from store.outbox.outbox import Run, delivery_of
from store.parked.parked import CANCELLED, Ended, Outcome, member_of
from tasks.base import EndingTask, WxcheckTask
from wechat.verdicts import media_verdict
from worker.celery import app
from worker.messages import unfinished_message
from wxcheck import CheckCancelled, Kind, PushTimeout, Verdict

log = Log(__name__)


@app.task(base=WxcheckTask, name=RECEIVE_PUSH, bind=True, ignore_result=True)
def receive_push(self: WxcheckTask, appid: str, push: dict[str, Any], received_at: float) -> None:
    """Take in a push that the endpoint verified: publish the finish of its check, or keep the push for a check to come.

    ``received_at``: seconds since the epoch.
    """
    delivery = delivery_of(self.request.delivery_info)
    try:
        what, parked = self.runtime.parking.match_push(appid, push, delivery)
    except STORE_AWAY:
        self.requeue_for_store()
    self.runtime.statistics.moved(PUSH_QUEUE)
    trace_id, seconds = push["trace_id"], time.time() - received_at
    task_id = parked.task_id if parked is not None else None
    log.info(f"push_{what}", f"{seconds:.3f} s in the queue", task_id=task_id, trace_id=trace_id, appid=appid)
    if parked is not None:
        self.finish(parked)


class FinishTask(EndingTask):
    """A task that ends a parked check, in one step with the marks by which repeated pushes are recognised."""

    Request = "worker.celery_parts.request:FinishRequest"

    def message_to_replay(self, kwargs: Any) -> dict[str, Any] | None:
        kept = self.runtime.parking.kept(member_of(kwargs["appid"], kwargs["trace_id"]))
        return unfinished_message(kept) if kept is not None else None

    def ends_in_one_step(self, request: dict[str, Any], kwargs: Any) -> bool:
        return _names_its_check(kwargs) and super().ends_in_one_step(request, kwargs)

    def store_end(self, run: Run, task_id: str, retval: Any, kwargs: Any) -> bool:
        ended: Ended = "done"
        if isinstance(retval, PushTimeout):
            ended = "timeout"
        elif isinstance(retval, CheckCancelled):
            ended = "cancelled"
        if not _names_its_check(kwargs):
            return True  # the finish of no check, which Celery has refused for its arguments
        if self.runtime.parking.end(kwargs["appid"], kwargs["trace_id"], task_id, ended, run):
            self.runtime.statistics.ended(retval, task_id, kwargs["appid"])
        else:
            identity = {"task_id": task_id, "trace_id": kwargs["trace_id"], "appid": kwargs["appid"]}
            log.warning("end_repeated", "another run has claimed it", **identity)
        return True

    def leave_to_others(self, run: Run, task_id: str, kwargs: Any) -> None:  # noqa: ARG002
        self.runtime.parking.give_up_claim(kwargs["appid"], kwargs["trace_id"], run.token)


def _names_its_check(kwargs: Any) -> bool:
    return isinstance(kwargs, dict) and {"appid", "trace_id"} <= set(kwargs)


@app.task(base=FinishTask, name=FINISH, bind=True)
def finish(self: FinishTask, run: Run, *, appid: str, trace_id: str, kind: Kind) -> Verdict:
    """Finish a check of ``wxcheck.check_media`` under its task id: return the verdict, or raise the named failure."""
    run.appid = appid
    try:
        cancelled = CANCELLED if getattr(self.request, "wxcheck_revoked", False) else None
        claim = partial(self.runtime.parking.claim_finish, appid, trace_id, self.request.id, run.token, cancelled)
        outcome = self.insist(claim)
    except STORE_AWAY:
        self.requeue_for_store()
    if outcome is None:
        identity = {"task_id": self.request.id, "trace_id": trace_id, "appid": appid}
        log.info("finish_repeated", "it ran before, or runs now", **identity)
        raise Ignore
    return _ended(outcome, appid, trace_id, kind)


def _ended(outcome: Outcome, appid: str, trace_id: str, kind: Kind) -> Verdict:
    if outcome["ended"] == "timeout":
        raise PushTimeout(trace_id)
    if outcome["ended"] == "cancelled":
        raise CheckCancelled
    return media_verdict(outcome["push"], kind, appid)


@app.task(base=WxcheckTask, name=CANCEL, bind=True)
def cancel(self: WxcheckTask, task_id: str) -> bool:
    """End the wait of a media check with ``CheckCancelled``. Return True if the check was waiting for its push."""
    try:
        parked = self.runtime.parking.cancel(task_id)
    except STORE_AWAY:
        self.requeue_for_store()
    if parked is None:
        return False
    self.finish(parked)
    return True
