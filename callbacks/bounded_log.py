"""Lines of the log of which no stranger can cause more than one a second of each kind."""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable

from config.logs import Log, Value

#: seconds between two lines of one kind
INTERVAL = 1.0
#: kinds of libraries' lines that are told apart; all others of a logger and level are one kind
MAX_KINDS = 64


class _Pace:
    """Lets one line of a kind and interval through, and says how many it kept back before."""

    def __init__(self) -> None:
        self._last: dict[Hashable, float] = {}
        self._kept_back: dict[Hashable, int] = {}

    @property
    def kinds(self) -> int:
        return len(self._last)

    def __contains__(self, kind: Hashable) -> bool:
        return kind in self._last

    def admit(self, kind: Hashable) -> int | None:
        """How many were kept back since the last line of this kind; None where this one is kept back, too."""
        now = time.monotonic()
        if kind in self._last and now - self._last[kind] < INTERVAL:
            self._kept_back[kind] = self._kept_back.get(kind, 0) + 1
            return None
        self._last[kind] = now
        return self._kept_back.pop(kind, 0)


class BoundedLog:
    """Writes at most one warning of a kind and interval, and with the next one how many it kept back.

    A kind is an event and, where it has one, its ``outcome`` or ``server``; both come from fixed sets.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._pace = _Pace()

    def warning(self, event: str, said: str, /, **fields: Value) -> None:
        """Writes it as :meth:`config.logs.Log.warning` does."""
        kept_back = self._pace.admit((event, fields.get("outcome"), fields.get("server")))
        if kept_back is None:
            return
        more = {"kept_back": kept_back} if kept_back else {}
        self._log.warning(event, said + _more(kept_back), **more, **fields)


class BoundedLines(logging.Filter):
    """For a handler: bounds what libraries say, uvicorn and asyncio among them, which strangers can make say much.

    A kind is a logger, a level and how the record's template begins. The project's own events pass: whatever a stranger
    can cause of them is a :class:`BoundedLog`'s.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pace = _Pace()

    def filter(self, record: logging.LogRecord) -> bool:
        if hasattr(record, "event"):
            return True
        kind: Hashable = (record.name, record.levelno, str(record.msg).partition("\n")[0][:60])
        if kind not in self._pace and self._pace.kinds >= MAX_KINDS:
            kind = (record.name, record.levelno)
        kept_back = self._pace.admit(kind)
        if kept_back:
            # what is appended holds no %, so that the arguments still fit
            record.msg = f"{record.msg}{_more(kept_back)}"
            record.fields = {"kept_back": kept_back}
        return kept_back is not None


def bound_lines() -> None:
    """Bounds the lines of libraries, wherever this process writes its log."""
    lines = BoundedLines()
    for handler in logging.getLogger().handlers:
        handler.addFilter(lines)


def _more(kept_back: int) -> str:
    return f" (and {kept_back} more like it)" if kept_back else ""
