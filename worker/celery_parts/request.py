"""The messages that a worker has taken from a queue: their arguments stay hidden, and some messages go back."""

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

#: fields of a message's delivery that are shown: plain values, which JSON can hold
SHOWN = ("exchange", "routing_key", "priority", "redelivered")

#: why a message was given back: only its check is to run again, and its lane goes on
ALONE = "alone"


class GivenBack(Ignore):  # type: ignore[misc]  # Celery ships no types
    """The message goes back to its place in its queue, with no attempt lost.

    A task raises it, and may run in another process than the consumer, so its arguments are plain values: why, for how
    many seconds, and the appId whose checks wait (None: another reason).
    """

    def __init__(self, why: str, seconds: float, appid: str | None = None) -> None:
        super().__init__(why, seconds, appid)


class ParkedCheck(Ignore):  # type: ignore[misc]  # Celery ships no types
    """The check waits for its push, and its message is done with.

    A task raises it, and may run in another process than the consumer. The consumer sends the event with its other
    events: sent by the task, the event would need a connection and a publication of its own.
    """

    def __init__(self, trace_id: str, since: float, deadline: float) -> None:
        super().__init__(trace_id, since, deadline)
        self.trace_id = trace_id

    def event(self) -> dict[str, Any]:
        """Return the fields of the event ``task-waiting``; times in seconds since the epoch."""
        return dict(zip(("trace_id", "since", "deadline"), self.args, strict=True))


def raised(error: Ignore) -> Outcome:
    """Return the outcome that Celery makes of a task that raises ``error``."""
    return Outcome((type(error), error, None))


class CheckRequest(Request):  # type: ignore[misc]  # Celery ships no types
    """A message whose arguments appear in no event, no log and no ``inspect``, whoever sent it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Celery writes the content into these for a client that enqueues by name alone
        self._request_dict.update(HIDDEN)
        self._argsrepr = HIDDEN["argsrepr"]
        self._kwargsrepr = HIDDEN["kwargsrepr"]
        # by in_hand the run tells the flow when its call is sent (worker.fetching.in_hand)
        self._request_dict["delivery_info"].update(in_hand=getattr(self.message, "in_hand", None))
        if getattr(self.message.channel, "commits_ends", False):
            # the message is acknowledged with the end of its task (store.outbox)
            self._request_dict["delivery_info"].update(tag=self.message.delivery_tag, process=os.getpid())

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        """Send the event of a parked check; hand a message that was given back to its :mod:`worker.fetching.flow`."""
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
        """Return the description for ``inspect active`` and Flower's page of a worker."""
        described: dict[str, Any] = super().info(safe=True)
        # the other fields are this worker's own, and JSON cannot hold them
        described["delivery_info"] = {name: described["delivery_info"].get(name) for name in SHOWN}
        return described


class FinishRequest(CheckRequest):
    """The finish of a check, which runs even if the check was revoked: the task then ends the check as cancelled.

    A dropped finish would leave the chain hanging, the errbacks unpublished and the chord unfinished.

    A cancelled check sends ``task-cancelled`` in place of ``task-failed``, and ends in Flower as CANCELLED. With both
    events Flower would show FAILURE, which to monitors comes after a custom state.
    """

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
    """Return the exception that a task raised; from a child process it comes wrapped."""
    return getattr(exc_info.exception, "exc", exc_info.exception)


def _revoked_tasks() -> Any:
    from celery.worker.state import revoked

    return revoked
