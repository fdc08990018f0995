"""The journal of a run: each line goes on the disk before its check is sent. Lines of JSON are only ever added.

==========================================  ===========================================================================
``{"journal": 1, "run", "sha256", "size",   the first line: the run's id, its file, and its Mini Program
"appid", "at"}``
``{"batch": n, "lines": "2-201,203",        these lines are about to be published, each for the ``attempt``-th time
"checks", "attempt", "at"}``                 (from 1), ``at`` in seconds since the epoch
``{"published": n}``                        batch n is published; only with a broker that has no mark of it
``{"confirmed": "2-9", "batch": n}``        these lines of the batch were published before the broker went away
``{"unsent": "2-201", "batch": n}``         these lines of the batch certainly were not published
``{"doubt": "2-201"}``                      nobody knows if these lines were published: the store was emptied
``{"budget": "spent"}``                     the run stopped by its budget; the next one begins anew
``{"rows": […]}``                           rows of the output, if the output is no file
==========================================  ===========================================================================

A last line that is not whole does not count: its publishing has not begun.
"""

from __future__ import annotations

import fcntl
import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from ops.backfill.faults import CannotGoOn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

VERSION = 1

#: first and last line of each range
Ranges = list[tuple[int, int]]


class Batch(NamedTuple):
    """Lines that are published together."""

    number: int
    #: ranges as text: a file of millions of lines has thousands of batches, and all stay in memory
    lines: str
    checks: int
    attempt: int
    #: time of the note, in seconds since the epoch
    at: float


class Header(NamedTuple):
    """The identity of a run: its id, its file and its Mini Program."""

    run: str
    sha256: str
    size: int
    appid: str


class Journal:
    """The journal of one run, open in one process at a time."""

    def __init__(self, path: Path) -> None:
        """Open the journal, or make an empty one.

        Raises:
            CannotGoOn: another process has the journal.
        """
        self.path = path
        is_new = not path.exists()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CannotGoOn(f"another wxcheck submit is at work with {path}; wait for it, or end it") from None
            self._cut_torn_line()
            if is_new:
                sync_directory(path)
        except BaseException:
            os.close(self._fd)
            raise

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield all entries in order.

        Raises:
            CannotGoOn: the file is no journal.
        """
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    entry = json.loads(line)
                except ValueError:
                    entry = None
                if not isinstance(entry, dict):
                    raise CannotGoOn(f"{self.path}, line {number}: no line of a journal; is it another file?")
                yield entry

    def add(self, entry: dict[str, Any]) -> None:
        """Add a line. It is on the disk when this returns."""
        whole = json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        while whole:
            whole = whole[os.write(self._fd, whole) :]
        os.fsync(self._fd)

    def add_batch(self, batch: Batch) -> None:
        number, lines, checks, attempt, at = batch
        self.add({"batch": number, "lines": lines, "checks": checks, "attempt": attempt, "at": at})

    def _cut_torn_line(self) -> None:
        size = os.fstat(self._fd).st_size
        end = size
        while end:
            begin = max(0, end - 65536)
            found = os.pread(self._fd, end - begin, begin).rfind(b"\n")
            if found >= 0:
                end = begin + found + 1
                break
            end = begin
        if end < size:
            os.ftruncate(self._fd, end)


def new_header(header: Header, at: float) -> dict[str, Any]:
    """Return the first line of a journal."""
    return {"journal": VERSION, **header._asdict(), "at": round(at, 3)}


def header_of(entry: dict[str, Any]) -> Header | None:
    """Read the first line of a journal; None if ``entry`` is no such line."""
    if entry.get("journal") != VERSION:
        return None
    return Header(entry["run"], entry["sha256"], entry["size"], entry["appid"])


def batch_of(entry: dict[str, Any]) -> Batch:
    return Batch(entry["batch"], entry["lines"], entry["checks"], entry["attempt"], entry["at"])


def written(ranges: Ranges) -> str:
    """Write ranges as text: ``2-201,203``."""
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def read(text: str) -> Ranges:
    """Read the ranges that :func:`written` has written."""
    parts = [part.partition("-") for part in text.split(",") if part]
    return [(int(first), int(last or first)) for first, _, last in parts]


def ranges_of(numbers: Iterable[int]) -> Ranges:
    """Return line numbers, which ascend, as ranges."""
    ranges: Ranges = []
    for number in numbers:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges


def sync_directory(path: Path) -> None:
    """Make the name of a new file outlast a power cut."""
    fd = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
