"""Named events: what the project's processes write into their logs, each with the same fields everywhere.

``log = Log(__name__)`` and then ``log.warning("lane_closed", "closed for 8 s", appid=appid, lane=lane)`` is the line
``lane_closed appid=wx0 lane=text: closed for 8 s``, and in JSON these are fields. Every name is in docs/logs.md.
"""

from __future__ import annotations

import json
import logging
import re

#: what a field may hold; None where there is none
Value = str | int | float | bool | None

#: a value that needs no quotes
_PLAIN = re.compile(r"[\w.@:/+~*-]+")


class Log:
    """The log of one module.

    ``event`` is the name by which programs know what happened, ``said`` a sentence for people, with the remedy where
    there is one. Of the fields, ``task_id``, ``trace_id`` and ``appid`` mean the same in each event. None of it may
    hold what users wrote, a secret or a token; the text of an exception only where that cannot quote them.
    """

    def __init__(self, name: str) -> None:
        #: Python's own, for libraries that want one
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
        # as logger.log() does, but for the search for the caller, a third of its work: it would find this line
        args = ({**shown, "said": said},)
        record = self.logger.makeRecord(self.logger.name, level, __file__, 0, template, args, None, extra=extra)
        self.logger.handle(record)


def _shown(value: Value) -> str:
    said = f"{value:.3f}" if isinstance(value, float) else str(value)
    return said if _PLAIN.fullmatch(said) else json.dumps(said, ensure_ascii=False)
