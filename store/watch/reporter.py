"""A thread that reports a process' counts and signs of life to the store, so that no check waits for it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from config.logs import Log
from store.watch.presence import INTERVAL as BEAT_INTERVAL
from store.watch.statistics import INTERVAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from store.watch.statistics import Statistics

log = Log(__name__)

#: seconds that :meth:`Reporter.stop` waits for a store that does not answer
STOP_SECONDS = 2.0


class Reporter:
    """Writes ``statistics`` each second and calls ``beat`` every few seconds.

    :meth:`stop` writes the remaining statistics and calls ``leave``.
    """

    def __init__(self, statistics: Statistics, beat: Callable[[], None], leave: Callable[[], None]) -> None:
        self.statistics = statistics
        self._beat = beat
        self._leave = leave
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
        self._away = False

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        beat_at = 0.0
        stopped = False
        while not stopped:
            stopped = self._stopped.wait(INTERVAL)
            try:
                self.statistics.write()
                if not stopped and time.monotonic() >= beat_at:
                    beat_at = time.monotonic() + BEAT_INTERVAL
                    self._beat()
                if stopped:
                    self._leave()
                self._away = False
            except Exception as error:  # noqa: BLE001 - the thread must go on when the store is back; each fault is told
                if not self._away:
                    log.warning("not_reported", f"{type(error).__name__}: {error}; trying on")
                self._away = True
