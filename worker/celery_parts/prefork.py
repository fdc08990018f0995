"""Celery's pool of processes, mended: a worker that stops would wait for half a minute.

In Celery 5.7 a stopping worker forgets a message that lies unanswered with a child process. A worker that remembers no
other message reads no more results, and that child waits 30 s before it ends: nobody reads its result.
"""

from __future__ import annotations

import select

from billiard.pool import TERMINATE, WorkersJoined
from celery.concurrency import ALIASES
from celery.concurrency.asynpool import AsynPool
from celery.concurrency.asynpool import ResultHandler as CeleryResultHandler
from celery.concurrency.prefork import TaskPool as ProcessPool

#: seconds between two looks for children that have ended
LOOK = 0.1


class ResultHandler(CeleryResultHandler):  # type: ignore[misc]  # Celery ships no types
    """Reads what the children send until all of them have ended."""

    def on_stop_not_started(self) -> None:
        super().on_stop_not_started()
        unread = set(self.fileno_to_outq)
        while unread and self._state != TERMINATE:
            try:
                self.join_exited_workers(shutdown=True)
            except WorkersJoined:
                return
            poll = select.poll()
            for fd in unread:
                poll.register(fd, select.POLLIN)
            for fd, event in poll.poll(LOOK * 1000):
                if event & select.POLLIN:
                    self._flush_outqueue(fd, unread.discard, self.fileno_to_outq, self.on_state_change)
                else:
                    unread.discard(fd)


class Pool(AsynPool):  # type: ignore[misc]  # Celery ships no types
    """Celery's pool, with this ResultHandler."""

    ResultHandler = ResultHandler


class TaskPool(ProcessPool):  # type: ignore[misc]  # Celery ships no types
    """Celery's pool of a worker, with this Pool."""

    Pool = Pool


def use_prefork() -> None:
    """Make this pool the one of ``-P prefork`` and ``-P processes``."""
    for name in ("prefork", "processes"):
        ALIASES[name] = f"{__name__}:TaskPool"
