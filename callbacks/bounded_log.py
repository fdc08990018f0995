"""Log lines at a bounded rate: a stranger can cause at most one a second of each kind."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from config.logs import Log, Value

#: seconds between two lines of one kind
INTERVAL = 1.0
#: kinds of libraries' lines; past this number, all lines of a logger and level are one kind
MAX_KINDS = 64

Line = TypeVar("Line")


class _Pace(Generic[Line]):
    """Paces lines: the first of a kind is written at once, and at most the newest one at the end of each interval.

    ``write`` gets the line and the number of lines kept back since the line before; it may run in another thread.
    """

    def __init__(self, write: Callable[[Line, int], None]) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._written_at: dict[Hashable, float] = {}
        #: the newest line that waits, and the number of lines before it that were kept back
        self._waiting: dict[Hashable, tuple[Line, int]] = {}

    @property
    def kinds(self) -> int:
        return len(self._written_at)

    def __contains__(self, kind: Hashable) -> bool:
        return kind in self._written_at

    def line(self, kind: Hashable, line: Line) -> None:
        with self._lock:
            now = time.monotonic()
            left = self._written_at.get(kind, now - INTERVAL) + INTERVAL - now
            waiting = self._waiting.get(kind)
            if waiting is not None:
                self._waiting[kind] = line, waiting[1] + 1
                return
            if left > 0:
                self._waiting[kind] = line, 0
                timer = threading.Timer(left, self._end_of_interval, [kind])
                timer.daemon = True
                timer.start()
                return
            self._written_at[kind] = now
        self._write(line, 0)

    def _end_of_interval(self, kind: Hashable) -> None:
        with self._lock:
            line, kept_back = self._waiting.pop(kind)
            self._written_at[kind] = time.monotonic()
        self._write(line, kept_back)


class BoundedLog:
    """Writes at most one warning of a kind an interval, with the number of warnings kept back.

    A kind is an event with its ``outcome`` or ``server``, if any; both come from fixed sets.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._pace: _Pace[tuple[str, str, dict[str, Value]]] = _Pace(self._write)

    def warning(self, event: str, said: str, /, **fields: Value) -> None:
        """Write as :meth:`config.logs.Log.warning` does, now or at the end of the interval."""
        self._pace.line((event, fields.get("outcome"), fields.get("server")), (event, said, fields))

    def _write(self, line: tuple[str, str, dict[str, Value]], kept_back: int) -> None:
        event, said, fields = line
        more = {"kept_back": kept_back} if kept_back else {}
        self._log.log(logging.WARNING, event, said + _more(kept_back), **more, **fields)


class BoundedLines(logging.Filter):
    """Bounds the lines of libraries in ``handler``, uvicorn and asyncio among them: strangers can make them write much.

    A kind is a logger, a level and the beginning of the record's template. The project's own events pass: a
    :class:`BoundedLog` bounds those that a stranger can cause.
    """

    def __init__(self, handler: logging.Handler) -> None:
        super().__init__()
        self._handler = handler
        self._pace: _Pace[logging.LogRecord] = _Pace(self._write)

    def filter(self, record: logging.LogRecord) -> bool:
        if hasattr(record, "event") or hasattr(record, "paced"):
            return True
        kind: Hashable = (record.name, record.levelno, str(record.msg).partition("\n")[0][:60])
        if kind not in self._pace and self._pace.kinds >= MAX_KINDS:
            kind = (record.name, record.levelno)
        self._pace.line(kind, record)
        return False

    def _write(self, record: logging.LogRecord, kept_back: int) -> None:
        record.paced = True
        if kept_back:
            # the appended text holds no %, so the arguments still fit
            record.msg = f"{record.msg}{_more(kept_back)}"
            record.fields = {"kept_back": kept_back}
        self._handler.handle(record)


def bound_lines() -> None:
    """Bound the lines of libraries in every handler of this process's log."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(BoundedLines(handler))


def _more(kept_back: int) -> str:
    return f" (and {kept_back} more like it)" if kept_back else ""
