"""Celery's threads, mended where a message would be in a worker's hands for ever."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from celery.concurrency import ALIASES
from celery.concurrency.thread import TaskPool as ThreadPool

from config.logs import Log
from worker.quota import STORE_PAUSE
from worker.request import HeldBack, raised

if TYPE_CHECKING:
    from collections.abc import Callable

log = Log(__name__)


class TaskPool(ThreadPool):  # type: ignore[misc]  # Celery ships no types
    """Gives a message back where Celery itself failed around its task.

    Where neither a result nor the failure to store it can be stored, Celery 5.7 lets the exception go with the thread:
    the message is neither acknowledged nor given back, and its slot is lost to the worker.
    """

    def on_apply(self, *args: Any, error_callback: Callable[..., Any] | None = None, **kwargs: Any) -> Any:
        result = super().on_apply(*args, **kwargs)

        def look(future: Future[Any]) -> None:
            if not future.cancelled() and (error := future.exception()) is not None and error_callback is not None:
                log.warning("task_not_ended", f"{type(error).__name__}; its message goes back")
                error_callback(raised(HeldBack("store", STORE_PAUSE)))

        result.f.add_done_callback(look)
        return result


def use_threads() -> None:
    """Makes ``-P threads``, which is the default here, this pool."""
    ALIASES["threads"] = f"{__name__}:TaskPool"
