"""The newest numbers: read at most once a second for any number of readers, and kept while the store is away."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from config.logs import Log
from ops.board.away import NotReadable, Trouble, store_away, store_silent

#: seconds for which numbers are new
FRESH_SECONDS = 1.0
#: most seconds that a request waits for newer numbers
PATIENCE_SECONDS = 2.0
#: level of gzip: a higher one is not worth its time for numbers that change each second
COMPRESSION = 5

#: returns the numbers in the form of ``status.numbers``; may block, may raise
Read = Callable[[], dict[str, Any]]
Outcome = dict[str, Any] | Exception

log = Log(__name__)


class Body(NamedTuple):
    """The numbers as JSON, in UTF-8."""

    plain: bytes
    zipped: bytes


class Latest:
    """Reads in a thread of its own, one reading at a time.

    If a reading fails, or takes too long, the numbers are those of the last good reading with two changes:
    ``stale_seconds`` is their age, and ``troubles`` holds only the trouble of the server that does not answer. Before
    the first good reading the numbers are these two, ``at`` and ``version``.
    """

    def __init__(self, read: Read, store: str, version: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._store = store
        self._version = version
        self._clock = clock
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="numbers")
        self._reading: Future[Outcome] | None = None
        self._tried_at = -FRESH_SECONDS
        self._good: dict[str, Any] = {}
        self._good_at = clock()
        self._body: Body | None = None
        self._said = ""

    async def body(self) -> Body:
        """Return the newest numbers. Never raises, and takes ``PATIENCE_SECONDS`` at most."""
        self._take()
        if self._reading is None:
            if self._body is not None and self._clock() - self._tried_at < FRESH_SECONDS:
                return self._body
            self._tried_at = self._clock()
            self._reading = self._executor.submit(self._attempt)
        reading = self._reading
        await asyncio.wait([asyncio.wrap_future(reading)], timeout=PATIENCE_SECONDS)
        self._take()
        if not reading.done() or self._body is None:
            return _body(self._stale(store_silent(self._store, PATIENCE_SECONDS).trouble()))
        return self._body

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _attempt(self) -> Outcome:
        try:
            return self._read()
        except Exception as error:  # noqa: BLE001 - the page tells of any error, and the log tells its place
            return error

    def _take(self) -> None:
        """Make a reading that has ended the newest one."""
        if self._reading is None or not self._reading.done():
            return
        outcome, self._reading = self._reading.result(), None
        if not isinstance(outcome, Exception):
            self._good, self._good_at, self._said = outcome, self._clock(), ""
            self._body = _body(outcome)
        elif isinstance(outcome, RedisError):
            away = store_away(self._store, outcome)
            self._say(f"{away.said['en']} {away.remedy['en']}")
            self._body = _body(self._stale(away.trouble()))
        else:
            self._say(_where(outcome))
            self._body = _body(self._stale(NotReadable(type(outcome).__name__).trouble()))

    def _stale(self, trouble: Trouble) -> dict[str, Any]:
        old = self._good or {"at": time.time(), "version": self._version}
        seconds = max(1.0, round(self._clock() - self._good_at, 1))
        return {**old, "stale_seconds": seconds, "troubles": [trouble]}

    def _say(self, message: str) -> None:
        """Log one line for each kind of fault, not one a second."""
        if message != self._said:
            self._said = message
            log.warning("numbers_not_read", message)


def _where(error: Exception) -> str:
    """Return an error's class and place: its text may quote the numbers."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} in {frames[-1].name}" if frames else type(error).__name__


def _body(numbers: dict[str, Any]) -> Body:
    plain = json.dumps(numbers, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return Body(plain, gzip.compress(plain, COMPRESSION, mtime=0))
