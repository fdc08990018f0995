"""How a worker shows the messages that it has taken from a queue."""

from __future__ import annotations

import os
from typing import Any

from celery.exceptions import Ignore
from celery.worker.request import Request
from celery.worker.state import task_ready

from worker.celery_parts.revocations import is_stamp_revoked
from worker.celery_parts.tracebacks import Outcome
from worker.messages import HIDDEN
from wxcheck import CheckCancelled

#: why a message is given back: the check alone is to run again, and its lane goes on
ALONE = "alone"


class GivenBack(Ignore):  # type: ignore[misc]  # Celery ships no types
    """The message goes back to its queue, at the place that it had, with no attempt lost.

    Raised by a task, which may run in another process than the consumer; so it holds plain values: why,
    for how many seconds, and for whose checks.
    """

    def __init__(self, why: str, seconds: float, appid: str | None = None) -> None:
        super().__init__(why, seconds, appid)


class ParkedCheck(Ignore):  # type: ignore[misc]  # Celery ships no types
    """The check waits for its push, and its message is done with.

    Raised by a task, which may run in another process than the consumer. The consumer tells monitors of it, with its
    other events; sent by the task, that would be a connection and a publication of its own.
    """

    def __init__(self, trace_id: str, since: float, deadline: float) -> None:
        super().__init__(trace_id, since, deadline)
        self.trace_id = trace_id

    def event(self) -> dict[str, Any]:
        """The fields of ``task-waiting``; times in seconds since the epoch."""
        return dict(zip(("trace_id", "since", "deadline"), self.args, strict=True))


def raised(error: Ignore) -> Outcome:
    """What Celery makes of a task that raises it."""
    return Outcome((type(error), error, None))


class CheckRequest(Request):  # type: ignore[misc]  # Celery ships no types
    """A message whose arguments are never shown, whoever sent it: not in events, not in logs, not by ``inspect``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # a client that enqueues by name alone has Celery put the content into these
        self._request_dict.update(HIDDEN)
        self._argsrepr = HIDDEN["argsrepr"]
        self._kwargsrepr = HIDDEN["kwargsrepr"]
        # the run of its task tells by it when its call goes out (worker.fetching.in_hand)
        self._request_dict["delivery_info"].update(in_hand=getattr(self.message, "in_hand", None))
        if getattr(self.message.channel, "commits_ends", False):
            # it is acknowledged with the end of its task (store.outbox)
            self._request_dict["delivery_info"].update(tag=self.message.delivery_tag, process=os.getpid())

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        """Tell of a check that waits for its push; hand a message that is given back to its flow
        (:mod:`worker.fetching.flow`)."""
        failure = _failure(exc_info)
        if isinstance(failure, ParkedCheck):
            self.send_event("task-waiting", **failure.event())
        if not isinstance(failure, GivenBack) or self.acknowledged:  # type: ignore[has-type]
            return super().on_failure(exc_info, *args, **kwargs)
        task_ready(self)
        flow = getattr(self.message, "flow", None)
        if flow is None:
            self.reject(requeue=True)
        else:
            self.acknowledged = True
            flow.given_back(self.message, *failure.args)
        return None

    def info(self, safe: bool = True) -> dict[str, Any]:  # noqa: ARG002 - Celery passes False
        """What ``inspect active`` and Flower's page of a worker tell of it."""
        described: dict[str, Any] = super().info(safe=True)
        return described


class FinishRequest(CheckRequest):
    """The finish of a check, which runs even where the check was revoked: dropped, it would leave its chain hanging,
    its errbacks unfired and its chord unfinished. The task then ends it as cancelled.

    Of a check that was cancelled it tells ``task-cancelled`` in place of ``task-failed``: in Flower it ends as
    CANCELLED. Told as well, it would not be seen, for to monitors a custom state comes before a failure."""

    _is_cancelled = False

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        self._is_cancelled = isinstance(_failure(exc_info), CheckCancelled)
        return super().on_failure(exc_info, *args, **kwargs)

    def send_event(self, event: str, **fields: Any) -> None:
        super().send_event("task-cancelled" if self._is_cancelled and event == "task-failed" else event, **fields)

    def revoked(self) -> bool:
        if self.id in _revoked_tasks() or (self.stamped_headers and is_stamp_revoked(self.stamps)):
            self._request_dict["wxcheck_revoked"] = True
        return False


def _failure(exc_info: Any) -> Any:
    """What a task raised; from a child process it comes wrapped."""
    return getattr(exc_info.exception, "exc", exc_info.exception)


def _revoked_tasks() -> Any:
    from celery.worker.state import revoked

    return revoked
