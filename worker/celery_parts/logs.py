"""The worker's log: its lines are the project's, and Celery's records are named events, too.

Users' content and tokens stay out of the log at every level.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import celery.apps.worker
from celery import signals
from celery.app import trace

from config.log_lines import Lines, formatter, is_json
from config.logs import Log
from worker.run import current_run

if TYPE_CHECKING:
    from config.settings import Settings

log = Log(__name__)

#: loggers that write every message with its content (at DEBUG) and URLs with their tokens (also in warnings); a fault
#: that urllib3 warns of comes as an exception, too
_TALKATIVE = {"celery.pool": logging.INFO, "urllib3": logging.CRITICAL}

#: event of each of Celery's records of a task, by Celery's words for it
EVENTS = {
    trace.LOG_RECEIVED: "task_received",
    trace.LOG_SUCCESS: "task_succeeded",
    trace.LOG_FAILURE: "task_failed",
    trace.LOG_RETRY: "task_retried",
    trace.LOG_IGNORED: "task_ignored",
    trace.LOG_REJECTED: "task_rejected",
}


def keep_quiet() -> None:
    """Set up the loggers of this process. Call this before Celery sets up its own loggers."""
    for name, level in _TALKATIVE.items():
        logging.getLogger(name).setLevel(level)


def work_at_hand() -> dict[str, str | None]:
    """Return task_id, appid and trace_id of the check that this thread runs, as far as they are known."""
    run = current_run()
    if run is None:
        return {}
    return {"task_id": run.task_id, "appid": run.appid, "trace_id": run.held.check.get("trace")}


def use_lines(settings: Settings) -> None:
    """Give the lines of this process (a worker, Flower, Celery's own command) the form of ``LOG_FORMAT``."""
    lines = _LogLines(settings)
    signals.celeryd_init.connect(lines.worker_begins)
    signals.celeryd_after_setup.connect(lines.worker_starts)
    signals.after_setup_logger.connect(lines.logger_is_set_up)
    signals.after_setup_task_logger.connect(lines.logger_is_set_up)
    if "flower.command" in sys.modules:  # Celery's command has loaded Flower, whose log is Tornado's
        import tornado.log

        made = partial(lines.of_flower, f"flower@{socket.gethostname()}")
        setattr(tornado.log, "LogFormatter", made)  # noqa: B010 - mypy knows LogFormatter as a class


class _LogLines:
    def __init__(self, settings: Settings) -> None:
        self._format = settings.log_format
        self._node = f"celery@{socket.gethostname()}"

    def worker_begins(self, sender: str, instance: Any, **_: Any) -> None:
        """Take the worker's name before the first line, and keep Celery's banner out of lines of JSON."""
        self._node = sender
        if is_json(self._format):
            instance.quiet = True
            celery.apps.worker.safe_say = self._say
            # Celery warns of a worker that is root before it sets up the log, which replaces this handler
            early = logging.StreamHandler(sys.__stderr__)
            early.setFormatter(self._lines(sender, None, colours=False))
            logging.basicConfig(handlers=[early])
            logging.captureWarnings(True)

    def worker_starts(self, sender: str, instance: Any, **_: Any) -> None:  # noqa: ARG002
        pool = instance.pool_cls if isinstance(instance.pool_cls, str) else instance.pool_cls.__module__
        log.info(
            "worker_starts",
            f"concurrency: {instance.concurrency} ({pool.rpartition('.')[2]})",
            queues=",".join(sorted(instance.app.amqp.queues.consume_from)),
        )

    def logger_is_set_up(self, logger: logging.Logger, logfile: object, colorize: bool | None, **_: Any) -> None:
        lines = self._lines(self._node, logfile, colours=colorize is not False)
        for handler in logger.handlers:
            handler.setFormatter(lines)

    def of_flower(self, process: str, *_: Any, color: bool = True, **__: Any) -> Lines:
        """Return the formatter in place of Tornado's ``LogFormatter``. ``color``: False where the log is a file."""
        return self._lines(process, None if color else "a file", colours=color)

    def _lines(self, process: str, logfile: object, *, colours: bool) -> Lines:
        names = {words.strip(): event for words, event in EVENTS.items()}
        return formatter(self._format, process, names, work_at_hand, logfile=logfile, colours=colours)

    def _say(self, message: object, _stream: object = None) -> None:
        """Write a line in place of Celery's words on stdout. Handlers of signals call this, so it takes no lock."""
        record = logging.LogRecord("celery", logging.INFO, "", 0, str(message), None, None)
        line = self._lines(self._node, None, colours=False).format(record)
        with contextlib.suppress(OSError):
            os.write(2, f"{line}\n".encode())
