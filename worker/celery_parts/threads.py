"""Celery's pool of threads, mended: a message could stay in a worker's hands for ever."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from celery.concurrency import ALIASES
from celery.concurrency.thread import TaskPool as ThreadPool
from kombu.asynchronous import get_event_loop
from kombu.transport import virtual

from config.logs import Log
from store.quota.permits import STORE_PAUSE
from worker.celery_parts.request import GivenBack, raised

if TYPE_CHECKING:
    from collections.abc import Callable

log = Log(__name__)


class LoopCalls:
    """Calls in the thread of the worker's loop, in the order in which any thread asked for them."""

    def __init__(self) -> None:
        self._calls: deque[Callable[[], None]] = deque()
        # taken now: a lost connection closes the loop, which goes on, but kombu forgets it
        self._loop = get_event_loop()

    def add(self, call: Callable[[], None]) -> None:
        self._calls.append(call)
        if self._loop is not None:
            self._loop.call_soon(self.run)

    def run(self) -> None:
        """Make the calls that were asked for so far. Only in the loop's thread."""
        for _ in range(len(self._calls)):
            self._calls.popleft()()


class TaskPool(ThreadPool):  # type: ignore[misc]  # Celery ships no types
    """Gives a message back if Celery itself fails around its task.

    If neither a result nor the failure to store the result can be stored, Celery 5.7 lets the exception go with the
    thread: the message is neither acknowledged nor given back, and its slot is lost to the worker.

    If the broker's connection is for one thread only, tasks begin and end in the loop's thread. Celery acknowledges in
    the thread that has run the task: with py-amqp two frames get mixed up sooner or later, and then the worker waits
    for minutes with its messages in hand.
    """

    def __init__(self, *args: Any, app: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, app=app, **kwargs)
        transport = app.connection_for_read().get_transport_cls()
        self._calls = None if issubclass(transport, virtual.Transport) else LoopCalls()

    def on_apply(
        self,
        target: Callable[..., Any],
        args: Any = None,
        kwargs: Any = None,
        callback: Callable[..., Any] | None = None,
        accept_callback: Callable[..., Any] | None = None,
        error_callback: Callable[..., Any] | None = None,
        **options: Any,
    ) -> Any:
        def give_back(error: BaseException) -> None:
            if error_callback is not None:
                log.warning("task_not_ended", f"{type(error).__name__}; its message goes back")
                error_callback(raised(GivenBack("store", STORE_PAUSE)))

        def in_loop(call: Callable[..., Any] | None, *of_it: Any) -> None:
            if call is None:
                return
            try:
                call(*of_it)
            except Exception as error:  # noqa: BLE001 - an error in the loop would end the worker
                give_back(error)

        def look(future: Future[Any]) -> None:
            if not future.cancelled() and (error := future.exception()) is not None:
                self._do(give_back, error)

        if self._calls is not None:
            callback = partial(self._do, in_loop, callback)
            accept_callback = partial(self._do, in_loop, accept_callback)
        result = super().on_apply(target, args, kwargs, callback, accept_callback, **options)
        result.f.add_done_callback(look)
        return result

    def on_stop(self) -> None:
        super().on_stop()
        if self._calls is not None:
            self._calls.run()

    def _do(self, call: Callable[..., None], *args: Any) -> None:
        """Make a call, in the loop's thread if the connection is for that thread only."""
        if self._calls is None:
            call(*args)
        else:
            self._calls.add(partial(call, *args))


def use_threads() -> None:
    """Make this pool the one of ``-P threads``, the default here."""
    ALIASES["threads"] = f"{__name__}:TaskPool"
