"""How far a run is, from its journal and its output: two bytes for each line of the file."""

from __future__ import annotations

import uuid
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import wxcheck
from ops.backfill.journal import Batch, batch_of, header_of, ranges_of, read, written
from ops.backfill.output import UNKNOWN, Row, row_of
from store.dead_letters.dead_letters import can_be_mended

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ops.backfill.journal import Header, Ranges


class End(IntEnum):
    """How a line ended."""

    NONE = 0
    VERDICT = 1
    FAILED = 2
    #: for a reason that can be mended
    MENDABLE = 3
    #: not sent, for it is no check
    INVALID = 4
    #: perhaps sent, and nobody knows
    UNKNOWN = 5


class Sent(NamedTuple):
    """A batch of the journal, and what was noted of it."""

    batch: Batch
    is_published: bool
    #: of a batch that was not published as a whole: lines that were
    confirmed: set[int]


def task_id_of(run: str, line: int, attempt: int) -> str:
    """The task id of a line, the same whenever it is asked for."""
    name = str(line) if attempt == 1 else f"{line}.{attempt}"
    return str(uuid.uuid5(uuid.UUID(run), name))


class State:
    """What is known of each line of a run."""

    def __init__(self) -> None:
        self.header: Header | None = None
        #: those that went out, or may have, in order
        self.sent: list[Sent] = []
        #: number of the last batch that was noted
        self.last_number = 0
        #: checks that count for the budget
        self.spent = 0
        self._doubts: set[int] = set()
        self._attempts = bytearray()
        self._ends = bytearray()
        self._rows: list[Row] = []

    def replay(self, entries: Iterable[dict[str, Any]]) -> None:
        """Takes in a journal."""
        for entry in entries:
            if self.header is None:
                self.header = header_of(entry)
                if self.header is None:
                    return
            elif "attempt" in entry:
                self.note_batch(batch_of(entry))
            elif "published" in entry:
                self.sent[-1] = self.sent[-1]._replace(is_published=True)
            elif "confirmed" in entry:
                self.sent[-1].confirmed.update(_numbers(read(entry["confirmed"])))
            elif "unsent" in entry:
                self.note_unsent(read(entry["unsent"]))
            elif "doubt" in entry:
                self._doubts.update(_numbers(read(entry["doubt"])))
            elif "budget" in entry:
                self.spent = 0
            elif "rows" in entry:
                self._rows += [row_of(row) for row in entry["rows"]]

    def replay_rows(self, rows: Iterable[Row]) -> None:
        """Takes in the rows of the output, after the journal."""
        for row in (*self._rows, *rows):
            if row.task_id is None or row.task_id == self.task_id(row.line):
                self.note_end(row)
        self._rows = []

    def note_batch(self, batch: Batch) -> None:
        self.sent.append(Sent(batch, False, set()))
        self.last_number = batch.number
        self.spent += batch.checks
        for line in _numbers(read(batch.lines)):
            self._doubts.discard(line)
            self._put(self._attempts, line, batch.attempt)
            self._put(self._ends, line, End.NONE)

    def note_unsent(self, lines: Ranges) -> None:
        """Of the last batch, lines that were not published."""
        batch = self.sent[-1].batch
        unsent = set(_numbers(lines))
        for line in unsent:
            # how an attempt before it ended is said by its row
            self._put(self._attempts, line, batch.attempt - 1)
        self.spent -= len(unsent)
        left = [line for line in _numbers(read(batch.lines)) if line not in unsent]
        if left:
            self.sent[-1] = self.sent[-1]._replace(batch=batch._replace(lines=written(ranges_of(left))))
        else:
            self.sent.pop()

    def note_end(self, row: Row) -> None:
        self._put(self._ends, row.line, end_of(row))

    def attempt(self, line: int) -> int:
        """How often a line was sent."""
        return self._attempts[line] if line < len(self._attempts) else 0

    def end(self, line: int) -> End:
        return End(self._ends[line]) if line < len(self._ends) else End.NONE

    def task_id(self, line: int) -> str | None:
        """The one that it was sent with last."""
        attempt = self.attempt(line)
        return task_id_of(self.header.run, line, attempt) if attempt and self.header else None

    def counts(self) -> dict[End, int]:
        """How many lines ended how."""
        return {end: self._ends.count(end) for end in End if end is not End.NONE}

    def on_their_way(self) -> int:
        """How many lines were sent and have no end."""
        ends = self._ends
        return sum(1 for line, attempt in enumerate(self._attempts) if attempt and not ends[line])

    def doubtful(self, published: int | None, *, knows: bool, older_than: float) -> set[int]:
        """Lines that may have been sent, and of which nobody can say that they were.

        ``published``: number of the last batch that is marked as published, ``knows``: whether that is so in one step.
        What was sent before ``older_than`` (seconds since the epoch) may have ended, and the result is gone.
        """
        found = {line for line in self._doubts if not self.end(line)}
        for batch, is_published, confirmed in self.sent:
            is_old = batch.at < older_than
            is_sure = published is not None and (batch.number <= published if knows else is_published)
            if is_old or not is_sure:
                lines = {line for line in _numbers(read(batch.lines)) if not self.end(line)}
                found |= lines if is_old or published is None else lines - confirmed
        # a batch after it may have been of the same line
        return {line for line in found if self.attempt(line)}

    def unpublished(self, published: int) -> Batch | None:
        """The last batch, where it certainly was not published: ``published`` is the mark of the one before it."""
        if not self.sent or self.sent[-1].batch.number <= published:
            return None
        before = self.sent[-2].batch.number if len(self.sent) > 1 else 0
        return self.sent[-1].batch if before == published else None

    def _put(self, array: bytearray, line: int, value: int) -> None:
        if line >= len(self._ends):
            # a little more than is needed, for lines come one by one
            more = bytes(max(line + 1 - len(self._ends), 4096))
            self._ends += more
            self._attempts += more
        array[line] = min(value, 255)


def end_of(row: Row) -> End:
    """How the line of a row ended."""
    if row.failure is None:
        return End.VERDICT
    if row.failure == UNKNOWN:
        return End.UNKNOWN
    if row.task_id is None:
        return End.INVALID
    return End.MENDABLE if _is_mendable(row) else End.FAILED


def _is_mendable(row: Row) -> bool:
    match row.failure:
        case "CheckRefused":
            return can_be_mended(wxcheck.CheckRefused(row.errcode or 0, ""))
        case "PlatformUnavailable":
            return can_be_mended(wxcheck.PlatformUnavailable(row.errcode or 0))
        case "MediaUnavailable":
            return can_be_mended(wxcheck.MediaUnavailable(row.errcode or 0, ""))
        case "PushTimeout":
            return can_be_mended(wxcheck.PushTimeout(""))
    return False


def _numbers(ranges: Ranges) -> Iterable[int]:
    for first, last in ranges:
        yield from range(first, last + 1)
