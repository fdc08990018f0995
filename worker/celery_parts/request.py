"""The requests of a worker: their arguments stay hidden, and a check that ends otherwise than a task says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.exceptions import Ignore
from celery.worker.request import Request

from worker.celery_parts.tracebacks import Outcome
from worker.messages import HIDDEN
from wxcheck import CheckCancelled

if TYPE_CHECKING:
    from kombu import Message

    from worker.taking.hand import InHand

#: fields of a message's delivery that are shown: plain values, which JSON can hold
SHOWN = ("exchange", "routing_key", "priority", "redelivered")


class GivenBack(Ignore):  # type: ignore[misc]  # Celery ships no types
    """The check waits again, with no attempt lost."""


class ParkedCheck(Ignore):  # type: ignore[misc]  # Celery ships no types
    """The check waits for its push; arguments: ``trace_id``, since, deadline (times in seconds since the epoch).

    The consumer sends the event with its other events: sent by the task, the event would need a connection and a
    publication of its own.
    """

    def event(self) -> dict[str, Any]:
        """Return the fields of the event ``task-waiting``."""
        return dict(zip(("trace_id", "since", "deadline"), self.args, strict=True))


def raised(error: Exception) -> Outcome:
    """Return the outcome that Celery makes of a task that raises ``error``."""
    return Outcome((type(error), error, None))


class CheckRequest(Request):  # type: ignore[misc]  # Celery ships no types
    """A message whose arguments appear in no event, no log and no ``inspect``, whoever sent it.

    A check that was sent before it was revoked runs once more, to end as cancelled. A dropped message would leave the
    chain hanging, the errbacks unpublished and the chord unfinished. A cancelled check sends
    ``task-cancelled`` in place of ``task-failed``, and ends in Flower as CANCELLED. With both events Flower would show
    FAILURE, which to monitors comes after a custom state.
    """

    _is_cancelled = False

    def __init__(self, message: Message, *args: Any, **kwargs: Any) -> None:
        # decoded here once: Celery decodes a body that is not for its events, and again for its task
        super().__init__(message, *args, **{**kwargs, "body": message.payload, "decoded": True})
        # Celery writes the content into these for a client that enqueues by name alone
        self._request_dict.update(HIDDEN)
        self._argsrepr = HIDDEN["argsrepr"]
        self._kwargsrepr = HIDDEN["kwargsrepr"]
        self._in_hand: InHand = message.in_hand
        # in delivery_info: Celery takes an unknown key beside it for a header of the messages that follow
        self._request_dict["delivery_info"].update(in_hand=self._in_hand)

    def revoked(self) -> bool:
        held = self._in_hand.held
        is_ended = held.queue == "push" or (held.cause or {}).get("ended") == "cancelled"
        return not is_ended and bool(super().revoked())

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        failure = getattr(exc_info.exception, "exc", exc_info.exception)
        if isinstance(failure, ParkedCheck):
            self.send_event("task-waiting", **failure.event())
        if isinstance(failure, GivenBack):
            # nobody has told an end, even if Celery has failed before the run began (worker.celery_parts.threads)
            self._in_hand.is_run = True
        self._is_cancelled = isinstance(failure, CheckCancelled)
        return super().on_failure(exc_info, *args, **kwargs)

    def send_event(self, event: str, **fields: Any) -> None:
        if event == "task-started" and self._in_hand.held.cause is not None:
            return  # it only tells an end: the check has been started, or never will be
        super().send_event("task-cancelled" if self._is_cancelled and event == "task-failed" else event, **fields)

    def info(self, safe: bool = True) -> dict[str, Any]:  # noqa: ARG002 - Celery passes False
        """Return the description for ``inspect active`` and Flower's page of a worker."""
        described: dict[str, Any] = super().info(safe=True)
        # the other fields are this worker's own, and JSON cannot hold them
        described["delivery_info"] = {name: described["delivery_info"].get(name) for name in SHOWN}
        return described
