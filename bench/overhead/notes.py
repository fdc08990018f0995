"""Notes of what happened when, in a file: a few microseconds each, and read by another process."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from bench.overhead.names import NOTE


class Note(NamedTuple):
    number: int
    #: seconds since the epoch
    at: float


class Notebook:
    """Appends notes to a file; from any thread."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, number: int) -> None:
        os.write(self._file, NOTE.pack(number, time.time()))


class Notes:
    """Reads them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0

    def fresh(self) -> list[Note]:
        """Those that have come since the last time."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self._read)
            content = file.read()
        whole = len(content) - len(content) % NOTE.size
        self._read += whole
        return [Note(*fields) for fields in NOTE.iter_unpack(content[:whole])]

    def count(self) -> int:
        """How many there are in all."""
        return self.path.stat().st_size // NOTE.size if self.path.exists() else 0
