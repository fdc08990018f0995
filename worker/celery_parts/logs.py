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
from celery._state import get_current_task
from celery.app import trace
from celery.utils.log import get_multiprocessing_logger
from celery.worker.consumer import consumer
from kombu.exceptions import DecodeError

from config.log_lines import Lines, formatter, is_json
from config.logs import Log
from config.names import FINISH, RECEIVE_PUSH
from store.outbox.outbox import current_run

if TYPE_CHECKING:
    from config.settings import Settings

log = Log(__name__)

#: pools of greenlets replace os.write by a function that a handler of signals must not call
_write = os.write

#: loggers that write every message with its content (at DEBUG) and URLs with their tokens (also in warnings); a fault
#: that urllib3 warns of comes as an exception, too
_TALKATIVE = {"celery.pool": logging.INFO, "urllib3": logging.CRITICAL}

#: Celery's words for a message that it makes no task of; Celery adds the message's body and headers
_UNREADABLE = (
    consumer.UNKNOWN_FORMAT,
    consumer.UNKNOWN_TASK_ERROR,
    consumer.INVALID_TASK_ERROR,
    consumer.MESSAGE_DECODE_ERROR,
)

#: event of each of Celery's records of a task, by Celery's words for it
EVENTS = {
    trace.LOG_RECEIVED: "task_received",
    trace.LOG_SUCCESS: "task_succeeded",
    trace.LOG_FAILURE: "task_failed",
    trace.LOG_RETRY: "task_retried",
    trace.LOG_IGNORED: "task_ignored",
    trace.LOG_REJECTED: "task_rejected",
}


class HideBodies(logging.Filter):
    """Reduces a record about an unreadable message to the kind of fault."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg in _UNREADABLE:
            # the first line, without headers: headers may quote the arguments
            said = str(record.msg).splitlines()[0].split(" [type")[0]
            record.msg = f"{said} (what it holds is not shown)"
            if isinstance(record.args, tuple):
                # a DecodeError may quote the body
                kept = record.args[: said.count("%")]
                record.args = tuple(type(arg).__name__ if isinstance(arg, DecodeError) else arg for arg in kept)
            record.exc_info = None
        return True


def keep_quiet() -> None:
    """Set up the loggers of this process. Call this before Celery sets up its own loggers."""
    for name, level in _TALKATIVE.items():
        logging.getLogger(name).setLevel(level)
    logging.getLogger(consumer.logger.name).addFilter(HideBodies())


def work_at_hand() -> dict[str, str | None]:
    """Return task_id, appid and trace_id of the task that this thread runs, as far as they are known."""
    task, run = get_current_task(), current_run()
    if task is None or not task.request.id:
        return {"task_id": run.task_id, "appid": run.appid} if run is not None and run.task_id else {}
    found = {"task_id": task.request.id, "appid": run.appid if run is not None else None}
    kwargs = task.request.kwargs
    if task.name in (FINISH, RECEIVE_PUSH) and isinstance(kwargs, dict):
        about = kwargs.get("push") if task.name == RECEIVE_PUSH else kwargs
        found["appid"] = kwargs.get("appid")
        found["trace_id"] = about.get("trace_id") if isinstance(about, dict) else None
    return found


def use_lines(settings: Settings) -> None:
    """Give the lines of this process (a worker, Flower, Celery's own command) the form of ``LOG_FORMAT``."""
    lines = _LogLines(settings)
    signals.celeryd_init.connect(lines.worker_begins)
    signals.celeryd_after_setup.connect(lines.worker_starts)
    signals.after_setup_logger.connect(lines.logger_is_set_up)
    signals.after_setup_task_logger.connect(lines.logger_is_set_up)
    signals.worker_process_init.connect(lines.child_begins)
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
        of_pool = get_multiprocessing_logger()
        lines = self._lines(self._node, logfile, colours=colorize is not False)
        for handler in [*logger.handlers, *(of_pool.handlers if of_pool is not None else [])]:
            handler.setFormatter(lines)

    def child_begins(self, sender: str, **_: Any) -> None:
        """Take the worker's name, which nothing else tells a child process that was not forked."""
        self._node = sender
        for logger in (logging.getLogger(), logging.getLogger("celery.task"), get_multiprocessing_logger()):
            for handler in logger.handlers:
                if isinstance(handler.formatter, Lines):
                    handler.formatter.process = sender

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
            _write(2, f"{line}\n".encode())
