"""The output: a row for each line of the file, in CSV or JSONL, as verdicts come; never with content.

A line that was sent again has a row for each time. The last row counts.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from ops.backfill.faults import CannotGoOn
from ops.backfill.journal import sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ops.backfill.journal import Journal
    from ops.backfill.reading import Format


class Row(NamedTuple):
    """The end of a line: a verdict, or the class of a failure."""

    id: str
    line: int
    #: None for a line that was not sent
    task_id: str | None
    suggest: str | None = None
    label: int | None = None
    kind: str | None = None
    version: int | None = None
    #: class of the failure; :data:`UNKNOWN`
    failure: str | None = None
    errcode: int | None = None
    #: time of the end, in ISO 8601
    at: str | None = None


#: failure of a line that may have been sent, with an unknown end
UNKNOWN = "Unknown"

_NUMBERS = ("line", "label", "version", "errcode")


class Output:
    """The place of the rows: a file, to which they are added, or stdout; then the journal keeps them, too."""

    def __init__(self, path: Path | None, form: Format, journal: Journal) -> None:
        """``path``: None is stdout.

        Raises:
            CannotGoOn: the file is no such output.
        """
        self._form = form
        self._journal = journal
        self._path = path
        self._file: IO[bytes] = sys.stdout.buffer if path is None else path.open("ab")
        try:
            if path is not None:
                self._cut_torn_row(path)
            if path is None or path.stat().st_size == 0:
                self._begin()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._path is not None:
            self._file.close()

    def write(self, rows: list[Row]) -> None:
        """Add rows. They are on the disk, or in the pipe, when this returns."""
        if not rows:
            return
        if self._form == "csv":
            text = io.StringIO(newline="")
            csv.writer(text, lineterminator="\n").writerows(rows)
            whole = text.getvalue()
        else:
            whole = "".join(json.dumps(row._asdict(), ensure_ascii=False) + "\n" for row in rows)
        self._file.write(whole.encode())
        self._file.flush()
        if self._path is None:
            self._journal.add({"rows": rows})
        else:
            os.fsync(self._file.fileno())

    def rows(self) -> Iterator[Row]:
        """Yield the rows of the file; none for stdout.

        Raises:
            CannotGoOn: the file is no such output.
        """
        if self._path is None:
            return
        with self._path.open(encoding="utf-8", newline="") as file:
            try:
                if self._form == "csv":
                    yield from (row_of(found) for found in csv.DictReader(file))
                else:
                    yield from (row_of(json.loads(line)) for line in file)
            except (ValueError, KeyError, TypeError, AttributeError, csv.Error):
                raise CannotGoOn(
                    f"{self._path}: not all of it are rows of wxcheck submit; name another --output"
                ) from None

    def _begin(self) -> None:
        if self._form == "csv":
            self._file.write((",".join(Row._fields) + "\n").encode())
            self._file.flush()
        if self._path is not None:
            sync_directory(self._path)

    def _cut_torn_row(self, path: Path) -> None:
        """Cut off a row that was being written when the process was killed; the run writes the row again."""
        with path.open("rb+") as file:
            end = file.seek(0, os.SEEK_END)
            size = end
            while end:
                begin = max(0, end - 4096)
                file.seek(begin)
                found = file.read(end - begin).rfind(b"\n")
                if found >= 0:
                    end = begin + found + 1
                    break
                end = begin
            if end < size:
                file.truncate(end)


def row_of(found: Any) -> Row:
    """Read a row of either format, or of the journal."""
    if isinstance(found, list):
        return Row(*found)
    values: dict[str, Any] = {name: found[name] or None for name in Row._fields}
    for name in _NUMBERS:
        if found[name] not in (None, ""):
            values[name] = int(found[name])
    return Row(**values)
