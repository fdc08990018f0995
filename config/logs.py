"""Named events: the lines that the project's processes write into their logs, with the same fields everywhere.

``log = Log(__name__)`` and then ``log.warning("lane_closed", "closed for 8 s", appid=appid, lane=lane)`` write the line
``lane_closed appid=wx0 lane=text: closed for 8 s``, and in JSON the same fields. docs/logs.md lists every name.
"""

from __future__ import annotations

import json
import logging
import re

#: value of a field; the text leaves out None
Value = str | int | float | bool | None

#: a value that needs no quotes
_PLAIN = re.compile(r"[\w.@:/+~*-]+")


class Log:
    """The log of one module.

    ``event`` is the name by which programs recognise an event; ``said`` is a sentence for people, with the remedy if
    there is one. The fields ``task_id``, ``trace_id`` and ``appid`` mean the same in each event. No part of a line may
    hold users' content, a secret or a token; the text of an exception may stand there only if it cannot quote them.
    """

    def __init__(self, name: str) -> None:
        #: Python's own logger, for libraries that take one
        self.logger = logging.getLogger(name)

    def debug(self, event: str, said: str = "", /, **fields: Value) -> None:
        self.log(logging.DEBUG, event, said, **fields)

    def info(self, event: str, said: str = "", /, **fields: Value) -> None:
        self.log(logging.INFO, event, said, **fields)

    def warning(self, event: str, said: str = "", /, **fields: Value) -> None:
        self.log(logging.WARNING, event, said, **fields)

    def error(self, event: str, said: str = "", /, **fields: Value) -> None:
        self.log(logging.ERROR, event, said, **fields)

    def log(self, level: int, event: str, said: str = "", /, **fields: Value) -> None:
        if not self.logger.isEnabledFor(level):
            return
        shown = {name: _shown(value) for name, value in fields.items() if value is not None}
        # the message stays a template: programs that group records, as Sentry does, group them by event
        template = " ".join([event, *(f"{name}=%({name})s" for name in shown)]) + (": %(said)s" if said else "")
        extra = {"event": event, "fields": fields}
        # skips logger.log()'s search for the caller, a third of the work, which would only find this line
        args = ({**shown, "said": said},)
        record = self.logger.makeRecord(self.logger.name, level, __file__, 0, template, args, None, extra=extra)
        self.logger.handle(record)


def _shown(value: Value) -> str:
    said = f"{value:.3f}" if isinstance(value, float) else str(value)
    return said if _PLAIN.fullmatch(said) else json.dumps(said, ensure_ascii=False)
