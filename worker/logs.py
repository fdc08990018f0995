"""Keeps what users wrote, and tokens, out of the worker's log, whatever its level."""

from __future__ import annotations

import logging

from celery.worker.consumer import consumer
from kombu.exceptions import DecodeError

#: they write every message with its content (at DEBUG) and URLs with their tokens (also in warnings); what urllib3
#: warns of comes as an exception, too
_TALKATIVE = {"celery.pool": logging.INFO, "urllib3": logging.CRITICAL}

#: Celery's words for a message that it cannot make a task of; it adds the message's body and headers
_UNREADABLE = (
    consumer.UNKNOWN_FORMAT,
    consumer.UNKNOWN_TASK_ERROR,
    consumer.INVALID_TASK_ERROR,
    consumer.MESSAGE_DECODE_ERROR,
)


class HideBodies(logging.Filter):
    """Leaves of a record about an unreadable message no more than its kind."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg in _UNREADABLE:
            # the first line, without the headers that one of them has there: they may quote the arguments
            said = str(record.msg).splitlines()[0].split(" [type")[0]
            record.msg = f"{said} (what it holds is not shown)"
            if isinstance(record.args, tuple):
                # an exception may quote the body that it could not decode
                kept = record.args[: said.count("%")]
                record.args = tuple(type(arg).__name__ if isinstance(arg, DecodeError) else arg for arg in kept)
            record.exc_info = None
        return True


def keep_quiet() -> None:
    """Sets up the loggers of this process; to be called before Celery sets up its own."""
    for name, level in _TALKATIVE.items():
        logging.getLogger(name).setLevel(level)
    logging.getLogger(consumer.logger.name).addFilter(HideBodies())
