"""A backfill that begins again knows itself from its journal, its output, and the mark in the store.

Tests: ops.backfill.journal, ops.backfill.output, ops.backfill.state, ops.backfill.run, ops.backfill.faults
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ops.backfill.faults import CannotGoOn
from ops.backfill.journal import Batch, Header, Journal, new_header, ranges_of, read, written
from ops.backfill.output import UNKNOWN, Output, Row
from ops.backfill.reading import Format
from ops.backfill.run import restored
from ops.backfill.state import End, State, task_id_of

RUN = "0d6ff2b6-6c5c-4a0d-9c3f-3f3f9be0b7b1"
HEADER = Header(RUN, "ab" * 32, 9, "wx0")
PASS = {"suggest": "pass", "label": 100, "kind": "text", "version": 1, "at": "2025-11-26T20:00:00.000+00:00"}


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with closing(Journal(tmp_path / "out.journal")) as found:
        found.add(new_header(HEADER, 0.0))
        yield found


def batch(number: int, *lines: int, attempt: int = 1, at: float = 1000.0) -> Batch:
    return Batch(number, written(ranges_of(lines)), len(lines), attempt, at)


def row(line: int, attempt: int = 1, failure: str | None = None, errcode: int | None = None) -> Row:
    task_id = task_id_of(RUN, line, attempt)
    if failure is not None:
        return Row(f"id,{line}", line, task_id, kind="text", failure=failure, errcode=errcode, at=PASS["at"])  # type: ignore[arg-type]
    return Row(f"id,{line}", line, task_id, **PASS)  # type: ignore[arg-type]


def state_of(journal: Journal, *rows: Row) -> State:
    state = State()
    state.replay(journal.entries())
    state.replay_rows(rows)
    return state


def test_line_numbers_are_written_as_ranges() -> None:
    numbers = [2, 3, 4, 7, 9, 10]
    assert written(ranges_of(numbers)) == "2-4,7,9-10"
    assert read("2-4,7,9-10") == ranges_of(numbers)
    assert read("") == []


def test_a_task_id_is_the_same_each_time_and_another_one_for_each_attempt() -> None:
    assert task_id_of(RUN, 5, 1) == task_id_of(RUN, 5, 1)
    assert len({task_id_of(RUN, 5, 1), task_id_of(RUN, 5, 2), task_id_of(RUN, 6, 1), task_id_of(RUN, 51, 1)}) == 4


def test_a_torn_last_line_of_a_journal_is_none(journal: Journal) -> None:
    journal.add_batch(batch(1, 2, 3))
    whole = journal.path.read_bytes()
    with journal.path.open("ab") as file:
        file.write(b'{"batch":2,"lines":"4')
    journal.close()
    again = Journal(journal.path)
    assert journal.path.read_bytes() == whole
    assert state_of(again).last_number == 1
    again.close()


def test_a_journal_is_open_in_one_process(journal: Journal) -> None:
    with pytest.raises(CannotGoOn, match="another wxcheck submit is at work"):
        Journal(journal.path)


def test_what_is_no_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("dear reader\n")
    other = Journal(path)
    with pytest.raises(CannotGoOn, match="no line of a journal"):
        list(other.entries())
    other.close()


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_output_is_read_back_without_the_row_that_is_torn(journal: Journal, tmp_path: Path, form: Format) -> None:
    path = tmp_path / f"out.{form}"
    rows = [row(2), row(3, failure="CheckRefused", errcode=40164), Row("4", 4, None, failure="InvalidCheck")]
    output = Output(path, form, journal)
    output.write(rows)
    output.close()
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(whole.splitlines()[-1][:9])
    output = Output(path, form, journal)
    assert list(output.rows()) == rows
    output.write([row(5)])
    assert list(output.rows()) == [*rows, row(5)]
    output.close()


def test_an_output_that_is_another_file_is_refused(journal: Journal, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("name,age\nAnna,7\n")
    output = Output(path, "csv", journal)
    with pytest.raises(CannotGoOn, match="name another --output"):
        restored(journal, output)
    output.close()


def test_lines_are_sent_ended_or_open(journal: Journal) -> None:
    journal.add_batch(batch(1, 2, 3, 4, 5, 6))
    state = state_of(
        journal,
        row(2),
        row(3, failure="PushTimeout"),
        row(4, failure="CheckRefused", errcode=87009),
        row(5, failure=UNKNOWN),
        Row("9", 9, None, failure="InvalidCheck"),
    )
    ends = [End.VERDICT, End.MENDABLE, End.FAILED, End.UNKNOWN, End.NONE, End.NONE, End.NONE, End.INVALID]
    assert [state.end(line) for line in range(2, 10)] == ends
    assert [state.attempt(line) for line in range(2, 10)] == [1, 1, 1, 1, 1, 0, 0, 0]
    assert (state.on_their_way(), state.spent, state.last_number) == (1, 5, 1)


def test_a_line_that_is_sent_again_is_open_until_that_attempt_ended(journal: Journal) -> None:
    journal.add_batch(batch(1, 2))
    journal.add_batch(batch(2, 2, attempt=2))
    failed = row(2, failure="PushTimeout")
    assert state_of(journal, failed).end(2) is End.NONE
    assert state_of(journal, failed, row(2, attempt=2)).end(2) is End.VERDICT
    journal.add({"unsent": "2", "batch": 2})
    state = state_of(journal, failed)
    assert (state.end(2), state.attempt(2), state.spent) == (End.MENDABLE, 1, 1)


def test_only_the_last_batch_can_be_known_not_to_have_gone_out(journal: Journal) -> None:
    journal.add_batch(batch(1, 2))
    journal.add_batch(batch(2, 3))
    state = state_of(journal)
    assert state.unpublished(2) is None
    assert state.unpublished(1) == batch(2, 3)
    # the store is one of before: batch 1 did go out, and is gone
    assert state.unpublished(0) is None


def test_what_went_out_by_the_mark_is_in_no_doubt(journal: Journal) -> None:
    journal.add_batch(batch(1, 2, 3))
    journal.add_batch(batch(2, 4))
    state = state_of(journal, row(2))
    assert state.doubtful(2, knows=True, older_than=0) == set()
    assert state.doubtful(1, knows=True, older_than=0) == {4}
    assert state.doubtful(None, knows=True, older_than=0) == {3, 4}
    # its result may have been, and be gone
    assert state.doubtful(2, knows=True, older_than=1001) == {3, 4}


def test_without_a_mark_only_what_was_confirmed_is_in_no_doubt(journal: Journal) -> None:
    journal.add_batch(batch(1, 2, 3))
    journal.add({"published": 1})
    journal.add_batch(batch(2, 4, 5, 6))
    journal.add({"confirmed": "4", "batch": 2})
    journal.add({"unsent": "6", "batch": 2})
    state = state_of(journal)
    assert state.doubtful(1, knows=False, older_than=0) == {5}
    assert [state.attempt(line) for line in (4, 5, 6)] == [1, 1, 0]


def test_a_doubt_stays_until_the_line_ended_or_was_sent_again(journal: Journal) -> None:
    journal.add_batch(batch(1, 2, 3))
    journal.add({"doubt": "2-3"})
    journal.add_batch(batch(2, 2, attempt=2))
    assert state_of(journal).doubtful(2, knows=True, older_than=0) == {3}
    assert state_of(journal, row(3, failure=UNKNOWN)).doubtful(2, knows=True, older_than=0) == set()


def test_a_spent_budget_begins_anew(journal: Journal) -> None:
    journal.add_batch(batch(1, 2, 3))
    journal.add({"budget": "spent"})
    assert state_of(journal).spent == 0
    journal.add_batch(batch(2, 4))
    assert state_of(journal).spent == 1


def test_rows_that_went_to_stdout_are_kept_by_the_journal(journal: Journal) -> None:
    journal.add_batch(batch(1, 2, 3))
    journal.add(json.loads(json.dumps({"rows": [row(2)]})))
    state = state_of(journal)
    assert (state.end(2), state.end(3)) == (End.VERDICT, End.NONE)
