"""Celery's pool of threads, mended: a check, and its slot, could stay in a worker's hands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.concurrency import ALIASES
from celery.concurrency.thread import TaskPool as ThreadPool

from config.logs import Log
from worker.celery_parts.request import GivenBack, raised

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

log = Log(__name__)


class TaskPool(ThreadPool):  # type: ignore[misc]  # Celery ships no types
    """Gives a check back if Celery itself fails around its task.

    If neither a result nor the failure to store the result can be stored, Celery 5.7 lets the exception go with the
    thread: the message is neither acknowledged nor given back, and its slot is lost to the worker.
    """

    def on_apply(
        self,
        target: Callable[..., Any],
        args: Any = None,
        kwargs: Any = None,
        error_callback: Callable[..., Any] | None = None,
        **options: Any,
    ) -> Any:
        def look(future: Future[Any]) -> None:
            if not future.cancelled() and (error := future.exception()) is not None and error_callback is not None:
                log.warning("task_not_ended", f"{type(error).__name__}; its message goes back")
                error_callback(raised(GivenBack("store")))

        result = super().on_apply(target, args, kwargs, **options)
        result.f.add_done_callback(look)
        return result


def use_threads() -> None:
    """Make this pool the one of ``-P threads``, the default here."""
    ALIASES["threads"] = f"{__name__}:TaskPool"
