"""How a worker shows the messages that it has taken from a queue."""

from __future__ import annotations

from typing import Any

from celery.worker.request import Request

from worker.messages import HIDDEN


class CheckRequest(Request):  # type: ignore[misc]  # Celery ships no types
    """A message whose arguments are never shown, whoever sent it: not in events, not in logs, not by ``inspect``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # a client that enqueues by name alone has Celery put the content into these
        self._request_dict.update(HIDDEN)
        self._argsrepr = HIDDEN["argsrepr"]
        self._kwargsrepr = HIDDEN["kwargsrepr"]

    def info(self, safe: bool = True) -> dict[str, Any]:  # noqa: ARG002 - Celery passes False
        """What ``inspect active`` and Flower's page of a worker tell of it."""
        described: dict[str, Any] = super().info(safe=True)
        return described


class FinishRequest(CheckRequest):
    """The finish of a check, which runs even where the check was revoked: dropped, it would leave its chain hanging,
    its errbacks unfired and its chord unfinished. The task then ends it as cancelled."""

    def revoked(self) -> bool:
        if self.id in _revoked_tasks():
            self._request_dict["wxcheck_revoked"] = True
        return False


def _revoked_tasks() -> Any:
    from celery.worker.state import revoked

    return revoked
