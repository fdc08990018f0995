"""Warnings of which no stranger can cause more than one a second."""

from __future__ import annotations

import time

from config.logs import Log, Value

#: seconds between two lines of one kind
INTERVAL = 1.0


class BoundedLog:
    """Writes at most one warning of a kind and interval, and with the next one how many it kept back.

    A kind is an event and, where it has one, its ``outcome`` or ``server``; both come from fixed sets.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._last: dict[tuple[Value, ...], float] = {}
        self._kept_back: dict[tuple[Value, ...], int] = {}

    def warning(self, event: str, said: str, /, **fields: Value) -> None:
        """Writes it as :meth:`config.logs.Log.warning` does."""
        now = time.monotonic()
        kind = (event, fields.get("outcome"), fields.get("server"))
        if kind in self._last and now - self._last[kind] < INTERVAL:
            self._kept_back[kind] = self._kept_back.get(kind, 0) + 1
            return
        self._last[kind] = now
        kept_back = self._kept_back.pop(kind, 0)
        more = {"kept_back": kept_back} if kept_back else {}
        self._log.warning(event, said + (f" (and {kept_back} more like it)" if kept_back else ""), **more, **fields)
