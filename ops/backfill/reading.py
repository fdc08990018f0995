"""The reading of a CSV or JSONL file, with one line at a time in memory.

Columns, or keys: ``content`` (or ``text``); ``media_url`` (or ``url``) and ``media_type``; ``openid``, ``scene``,
``title``, ``nickname``, ``signature``; ``id``. Blank lines are left out. UTF-8, with or without a byte order mark.
"""

from __future__ import annotations

import csv
import json
import re
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple

from ops.backfill.faults import CannotGoOn, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

Format = Literal["csv", "jsonl"]

#: names with the meaning of another
ALIASES = {"text": "content", "url": "media_url"}
FIELDS = ("content", "media_url", "media_type", "openid", "scene", "title", "nickname", "signature", "id")
#: most bytes of a line: a text of version 1 has at most 500 KB, which JSON may write six times as long
LONGEST = 4 << 20

_BOM = b"\xef\xbb\xbf"
#: stand-ins for bytes that are no UTF-8
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_SAVE = "not UTF-8; save the file as UTF-8 (Excel: CSV UTF-8)"


class Line(NamedTuple):
    """A line that is not blank. ``values``: the fields with a value, by their names in :data:`FIELDS`."""

    #: number of its first line in the file, from 1; a quoted value may take several lines
    number: int
    values: dict[str, Any]
    faults: list[Fault]


class Reader:
    """Reads ``file``, opened as bytes, from its beginning."""

    def __init__(self, file: IO[bytes], form: Format) -> None:
        self._file = file
        self._form = form
        #: names in the file that are not read
        self.ignored: set[str] = set()

    def lines(self) -> Iterator[Line]:
        """Yield all lines that are not blank.

        Raises:
            CannotGoOn: the first line lacks the columns, or names one twice.
        """
        self._file.seek(0)
        if self._file.read(len(_BOM)) != _BOM:
            self._file.seek(0)
        return self._csv() if self._form == "csv" else self._jsonl()

    def _raw(self) -> Iterator[bytes]:
        while raw := self._file.readline(LONGEST + 1):
            yield raw

    def _jsonl(self) -> Iterator[Line]:
        skipping, number = False, 0
        for raw in self._raw():
            if skipping:
                skipping = not raw.endswith(b"\n")
                continue
            number += 1
            if len(raw) > LONGEST:
                skipping = not raw.endswith(b"\n")
                yield _faulty(number, f"more than {LONGEST} bytes; split it")
            elif raw.strip():
                yield self._object(number, raw)

    def _object(self, number: int, raw: bytes) -> Line:
        try:
            found = json.loads(raw.decode())
        except UnicodeDecodeError:
            return _faulty(number, _SAVE)
        except (ValueError, RecursionError):
            return _faulty(number, "no JSON; write one object a line")
        if not isinstance(found, dict):
            return _faulty(number, 'no JSON object; write one a line, as {"content": …}')
        values: dict[str, Any] = {}
        faults = []
        for name, value in found.items():
            field = self._field(name)
            if field is None or value is None:
                continue
            if field in values:
                faults.append(Fault(number, field, "there twice; keep one"))
            values[field] = value
        return Line(number, values, faults)

    def _csv(self) -> Iterator[Line]:
        csv.field_size_limit(LONGEST)
        rows = csv.reader(self._text(), strict=True)
        columns: list[str | None] | None = None
        while True:
            number = rows.line_num + 1
            try:
                row = next(rows, None)
            except csv.Error as error:
                yield _faulty(number, f"no CSV from here on ({error}); is a quote not closed, or not doubled?")
                return
            if row is None:
                break
            if not row:
                continue
            if columns is None:
                columns = self._columns(row)
            else:
                yield _of_row(number, columns, row)

    def _text(self) -> Iterator[str]:
        for raw in self._raw():
            yield raw.decode(errors="surrogateescape")

    def _columns(self, row: list[str]) -> list[str | None]:
        columns = [self._field(name) for name in row]
        if "content" not in columns and "media_url" not in columns:
            # the message does not quote the line: a file without a header has a user's text there
            raise CannotGoOn(
                "the first line names none of the columns content (or text) and media_url (or url); "
                "name the columns there, with commas between, in UTF-8"
            )
        twice = {field for field in columns if field is not None and columns.count(field) > 1}
        if twice:
            raise CannotGoOn(f"the first line names {', '.join(sorted(twice))} twice; keep one column of it")
        return columns

    def _field(self, name: str) -> str | None:
        name = name.strip().casefold()
        field = ALIASES.get(name, name)
        if field in FIELDS:
            return field
        if len(self.ignored) < 20 and re.fullmatch(r"[\w .-]{1,40}", name):
            self.ignored.add(name)
        return None


def _of_row(number: int, columns: list[str | None], row: list[str]) -> Line:
    faults = []
    if len(row) > len(columns):
        faults.append(Fault(number, "line", f"{len(row)} values for {len(columns)} columns; quote what has a comma"))
    values: dict[str, Any] = {}
    for field, value in zip(columns, row, strict=False):
        if field is None or not value:
            continue
        if _NOT_UTF8.search(value):
            faults.append(Fault(number, field, _SAVE))
        else:
            values[field] = value
    return Line(number, values, faults)


def _faulty(number: int, said: str) -> Line:
    return Line(number, {}, [Fault(number, "line", said)])
