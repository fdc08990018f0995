"""Lines of the log of which no stranger can cause more than one a second of each kind."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from config.logs import Log, Value

#: seconds between two lines of one kind
INTERVAL = 1.0
#: kinds of libraries' lines that are told apart; all others of a logger and level are one kind
MAX_KINDS = 64

Line = TypeVar("Line")


class _Pace(Generic[Line]):
    """Writes a line of a kind at once where none was written for an interval, else the newest one when it is over.

    ``write`` gets the line, and how many were kept back since the one before it; it may run in another thread.
    """

    def __init__(self, write: Callable[[Line, int], None]) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._written_at: dict[Hashable, float] = {}
        #: the newest line that waits, and how many before it were kept back
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
    """Writes at most one warning of a kind and interval, and with it how many it kept back.

    A kind is an event and, where it has one, its ``outcome`` or ``server``; both come from fixed sets.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._pace: _Pace[tuple[str, str, dict[str, Value]]] = _Pace(self._write)

    def warning(self, event: str, said: str, /, **fields: Value) -> None:
        """Writes it as :meth:`config.logs.Log.warning` does, now or at the end of the interval."""
        self._pace.line((event, fields.get("outcome"), fields.get("server")), (event, said, fields))

    def _write(self, line: tuple[str, str, dict[str, Value]], kept_back: int) -> None:
        event, said, fields = line
        more = {"kept_back": kept_back} if kept_back else {}
        self._log.log(logging.WARNING, event, said + _more(kept_back), **more, **fields)


class BoundedLines(logging.Filter):
    """Bounds what ``handler`` writes of libraries, uvicorn and asyncio among them: strangers can make them say much.

    A kind is a logger, a level and how the record's template begins. The project's own events pass: whatever a stranger
    can cause of them is a :class:`BoundedLog`'s.
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
            # what is appended holds no %, so that the arguments still fit
            record.msg = f"{record.msg}{_more(kept_back)}"
            record.fields = {"kept_back": kept_back}
        self._handler.handle(record)


def bound_lines() -> None:
    """Bounds the lines of libraries, wherever this process writes its log."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(BoundedLines(handler))


def _more(kept_back: int) -> str:
    return f" (and {kept_back} more like it)" if kept_back else ""
