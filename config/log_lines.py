"""The lines of a log record: an object of JSON, or text for people.

Neither format shows the text of an exception that may quote users' content, and no text can forge a line.
"""

from __future__ import annotations

import json
import linecache
import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal

import redis.exceptions
from kombu.exceptions import OperationalError

from config.logs import Log, Value
from config.settings import SettingsError
from wxcheck import CheckError

LogFormat = Literal["auto", "json", "text"]

#: fields of every line; null where a record has none
IDENTITY = ("task_id", "trace_id", "appid")

#: classes whose text names servers, files or names of the code, and never users' content
_DISCREET = (
    CheckError,
    SettingsError,
    redis.exceptions.RedisError,
    OperationalError,
    AttributeError,
    ImportError,
    NameError,
    IndexError,
    ZeroDivisionError,
    NotImplementedError,
    RecursionError,
    SystemExit,
)

#: characters that end a line, or disguise a line as another one, on some terminal or for some reader
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
#: the unsafe characters that JSON would leave as they are
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")

#: shared by all lines: json.dumps would make an encoder for each
_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode

_COLOURS = {"DEBUG": "34", "WARNING": "33", "ERROR": "31", "CRITICAL": "35"}

#: event names by logger; the records of any other library take the library's name
_SOURCES = {"py.warnings": "python_warning", "celery.redirected": "printed"}

#: Celery's words for an exception that its own machinery met; a traceback with the exception's text follows
_OUTSIDE = re.compile(r"(Exception raised outside body: \w*).*", re.DOTALL)


class Lines(logging.Formatter):
    """The base of both formats: the event of a record, its identity, and the text that is safe to show.

    Args:
        process: the name of this process; for a worker, its node name.
        names: message template -> event, for records of libraries; a template without an entry takes the library's
            name.
        context: returns the ``task_id``, ``trace_id`` and ``appid`` of the calling thread's work.
    """

    def __init__(
        self,
        process: str,
        names: Mapping[str, str] | None = None,
        context: Callable[[], Mapping[str, str | None]] = dict,
    ) -> None:
        super().__init__()
        self.process = process
        self._names = names or {}
        self._context = context

    def event(self, record: logging.LogRecord) -> str:
        named = getattr(record, "event", None)
        if isinstance(named, str):
            return named
        return self._names.get(str(record.msg).strip(), _library(record))

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return ``task_id``, ``trace_id``, ``appid`` and the event's further fields."""
        found: dict[str, Any] = {**dict.fromkeys(IDENTITY), **self._context()}
        data = getattr(record, "data", None)
        if isinstance(data, Mapping):  # Celery's own data, which may also hold arguments
            found |= {"task_id": data.get("id"), "task": data.get("name")}
        own = getattr(record, "fields", None)
        return found | (own if isinstance(own, dict) else {})

    def message(self, record: logging.LogRecord) -> str:
        args: Any = record.args
        if isinstance(args, tuple):
            args = tuple(told(arg) if isinstance(arg, BaseException) else arg for arg in args)
        elif isinstance(args, Mapping) and record.exc_info and record.exc_info[1] and "exc" in args:
            args = {**args, "exc": told(record.exc_info[1])}
        try:
            said = str(record.msg) % args if args else str(record.msg)
        except (TypeError, ValueError, KeyError):  # a library's mistake must not cost the line
            said = str(record.msg)
        return _OUTSIDE.sub(r"\1 (what it says is not shown)", said)

    def exception(self, record: logging.LogRecord) -> str | None:
        found = record.exc_info
        if not found or found[1] is None:
            return None
        return "\n".join(["Traceback, the oldest call first:", *_explained(found[1], found[2])])


class JsonLines(Lines):
    """A JSON object a line; see docs/logs.md."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "event": self.event(record),
            "message": self.message(record),
            "logger": record.name,
            "process": self.process,
            **self.fields(record),
        }
        exception = self.exception(record)
        if exception is not None:
            line["exception"] = exception
        said = _encode(line)
        # most lines have nothing that needs a look at each character
        return said if said.isascii() and "\x7f" not in said else _UNSAFE_IN_JSON.sub(_escaped_in_json, said)


class TextLines(Lines):
    """A line of text, in colours on a terminal; the lines of an exception follow, indented."""

    def __init__(self, process: str, *args: Any, colours: bool = False, **options: Any) -> None:
        super().__init__(process, *args, **options)
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        at = f"{self.formatTime(record)}: {record.levelname}/{self.process}"
        text = f"[{at}] {_UNSAFE.sub(_escaped, self.message(record))}"
        exception = self.exception(record)
        if exception is not None:
            text += "".join(f"\n  {_UNSAFE.sub(_escaped, line)}" for line in exception.split("\n"))
        colour = _COLOURS.get(record.levelname) if self._colours else None
        return f"\x1b[{colour}m{text}\x1b[0m" if colour else text


def is_json(log_format: LogFormat, logfile: object = None) -> bool:
    """True if lines are JSON: with ``auto``, wherever no terminal shows the log."""
    if log_format != "auto":
        return log_format == "json"
    return logfile is not None or sys.__stderr__ is None or not sys.__stderr__.isatty()


def formatter(log_format: LogFormat, process: str, *args: Any, logfile: object = None, colours: bool = True) -> Lines:
    """Return the formatter for ``LOG_FORMAT``; ``args`` are the further arguments of :class:`Lines`."""
    if is_json(log_format, logfile):
        return JsonLines(process, *args)
    on_terminal = logfile is None and sys.__stderr__ is not None and sys.__stderr__.isatty()
    return TextLines(process, *args, colours=colours and on_terminal)


def use_lines(log_format: LogFormat, process: str, level: int) -> None:
    """Set up the log, on stderr, of a process that is not Celery's."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(log_format, process))
    logging.basicConfig(level=level, handlers=[handler])
    logging.captureWarnings(True)


def announce(log_format: LogFormat, log: Log, event: str, said: str, /, **fields: Value) -> None:
    """Tell the starter of this process its address, at any level: as a line on stdout, or as JSON in the log."""
    if is_json(log_format):
        log.logger.setLevel(logging.INFO)
        log.info(event, said, **fields)
    else:
        print(said, flush=True)


def told(error: BaseException) -> str:
    """Return an exception as a log may show it: the name of its class, and its text if the text quotes nothing."""
    name = type(error).__name__
    # requests' errors are OSErrors too, and quote URLs with their tokens
    discreet = isinstance(error, _DISCREET) or (isinstance(error, OSError) and type(error).__module__ == "builtins")
    return f"{name}: {error}" if discreet and str(error) else name


def _explained(error: BaseException, trace: TracebackType | None, seen: int = 0) -> Iterator[str]:
    """Yield the traceback of an exception and of its causes, the newest one last."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and seen < 8:
        yield from _explained(before, before.__traceback__, seen + 1)
        yield "then:"
    for frame, number in traceback.walk_tb(trace):
        code = frame.f_code
        yield f"{code.co_filename}:{number} in {code.co_name}"
        if source := linecache.getline(code.co_filename, number).strip():
            yield f"  {source}"
    yield told(error)


def _library(record: logging.LogRecord) -> str:
    return _SOURCES.get(record.name) or record.name.partition(".")[0]


def _escaped(match: re.Match[str]) -> str:
    return json.dumps(match.group())[1:-1] if match.group() < " " else _escaped_in_json(match)


def _escaped_in_json(match: re.Match[str]) -> str:
    return f"\\u{ord(match.group()):04x}"
