"""The state of a run, from its journal and its output: two bytes for each line of the file."""

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
    """The end of a line."""

    NONE = 0
    VERDICT = 1
    FAILED = 2
    #: failed for a reason that can be mended
    MENDABLE = 3
    #: not sent, since it is no check
    INVALID = 4
    #: perhaps sent, and nobody knows
    UNKNOWN = 5


class Sent(NamedTuple):
    """A batch of the journal, with the later notes on it."""

    batch: Batch
    is_published: bool
    #: published lines of a batch that was not published as a whole
    confirmed: set[int]


def task_id_of(run: str, line: int, attempt: int) -> str:
    """Return the task id of a line: the same at each call."""
    name = str(line) if attempt == 1 else f"{line}.{attempt}"
    return str(uuid.uuid5(uuid.UUID(run), name))


class State:
    """The knowledge of each line of a run."""

    def __init__(self) -> None:
        self.header: Header | None = None
        #: batches that were published, or may have been, in order
        self.sent: list[Sent] = []
        #: number of the last batch of the journal
        self.last_number = 0
        #: checks that count for the budget
        self.spent = 0
        self._doubts: set[int] = set()
        self._attempts = bytearray()
        self._ends = bytearray()
        self._rows: list[Row] = []

    def replay(self, entries: Iterable[dict[str, Any]]) -> None:
        """Take in a journal."""
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
        """Take in the rows of the output, after the journal."""
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
        """Note that ``lines`` of the last batch were not published."""
        batch = self.sent[-1].batch
        unsent = set(_numbers(lines))
        for line in unsent:
            # the row of an earlier attempt tells how that attempt ended
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
        """Return the number of times that a line was sent."""
        return self._attempts[line] if line < len(self._attempts) else 0

    def end(self, line: int) -> End:
        return End(self._ends[line]) if line < len(self._ends) else End.NONE

    def task_id(self, line: int) -> str | None:
        """Return the task id with which a line was sent last; None if it was not sent."""
        attempt = self.attempt(line)
        return task_id_of(self.header.run, line, attempt) if attempt and self.header else None

    def counts(self) -> dict[End, int]:
        """Return the number of lines by their end."""
        return {end: self._ends.count(end) for end in End if end is not End.NONE}

    def on_their_way(self) -> int:
        """Return the number of lines that were sent and have not ended."""
        ends = self._ends
        return sum(1 for line, attempt in enumerate(self._attempts) if attempt and not ends[line])

    def doubtful(self, published: int | None, *, knows: bool, older_than: float) -> set[int]:
        """Return the lines that may have been sent, but for which that is not certain.

        ``published``: number of the last batch with a mark. ``knows``: a batch and its mark are one step.
        ``older_than``: seconds since the epoch; a line sent earlier may have ended, and its result be gone.
        """
        found = {line for line in self._doubts if not self.end(line)}
        for batch, is_published, confirmed in self.sent:
            is_old = batch.at < older_than
            is_sure = published is not None and (batch.number <= published if knows else is_published)
            if is_old or not is_sure:
                lines = {line for line in _numbers(read(batch.lines)) if not self.end(line)}
                found |= lines if is_old or published is None else lines - confirmed
        # a later batch may have had the same line
        return {line for line in found if self.attempt(line)}

    def unpublished(self, published: int) -> Batch | None:
        """Return the last batch if it certainly was not published: ``published`` then marks the batch before it."""
        if not self.sent or self.sent[-1].batch.number <= published:
            return None
        before = self.sent[-2].batch.number if len(self.sent) > 1 else 0
        return self.sent[-1].batch if before == published else None

    def _put(self, array: bytearray, line: int, value: int) -> None:
        if line >= len(self._ends):
            # more than this line needs, since lines come one by one
            more = bytes(max(line + 1 - len(self._ends), 4096))
            self._ends += more
            self._attempts += more
        array[line] = min(value, 255)


def end_of(row: Row) -> End:
    """Return the end of a row's line."""
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
