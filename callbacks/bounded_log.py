"""Warnings of which no stranger can cause more than one a second."""

from __future__ import annotations

import logging
import time

#: seconds between two lines with the same key
INTERVAL = 1.0


class BoundedLog:
    """Writes at most one warning a key and interval, and with the next one how many it kept back."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._last: dict[str, float] = {}
        self._kept_back: dict[str, int] = {}

    def warning(self, key: str, message: str) -> None:
        """Write ``message``; ``key`` comes from a fixed set, one for each kind of event."""
        now = time.monotonic()
        if key in self._last and now - self._last[key] < INTERVAL:
            self._kept_back[key] = self._kept_back.get(key, 0) + 1
            return
        self._last[key] = now
        kept_back = self._kept_back.pop(key, 0)
        self._logger.warning("%s%s", message, f" (and {kept_back} more like it)" if kept_back else "")
