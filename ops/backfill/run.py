"""A run sends each line once, and waits until each has a verdict.

A run may be killed: its next step follows from file, journal and output alone, for the same command too. If the store
is emptied meanwhile, the run begins anew from these three.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from ops.backfill.journal import Batch, Header, ranges_of, written
from ops.backfill.patience import Patience
from ops.backfill.reading import Reader
from ops.backfill.results import Results, has_ended, invalid_row, row_of_result, unknown_row
from ops.backfill.sending import AnyBroker, Lost, OneRedis, Task, Torn
from ops.backfill.state import End, State, task_id_of
from ops.backfill.validation import LineCheck, check_of
from store.places.shard import SHARD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from celery import Celery
    from redis import Redis

    from config.settings import Settings
    from ops.backfill.journal import Journal
    from ops.backfill.output import Output, Row
    from ops.backfill.progress import Progress
    from ops.backfill.reading import Format, Line
    from ops.backfill.sending import Sender
    from store.dead_letters.dead_letters import DeadLetters

#: seconds between two looks for results
LOOK = 0.3
#: most bytes of calls in a batch: a script's arguments are one message to Redis
BATCH_BYTES = 4 << 20
#: seconds without a verdict after which the run asks if a worker runs
QUIET = 60.0


class Options(NamedTuple):
    """The options of a run."""

    in_flight: int
    #: most checks to send; None: all
    budget: int | None
    #: seconds to wait for a broker or store that is away
    patience: float
    retry_failed: bool
    resend_doubtful: bool


class InFlight(NamedTuple):
    """A line that was sent and has not ended."""

    line: int
    id: str
    kind: str


class Backfill:
    """The backfill of one file."""

    def __init__(
        self,
        file: IO[bytes],
        form: Format,
        header: Header,
        journal: Journal,
        output: Output,
        settings: Settings,
        app: Celery,
        store: Redis,
        letters: DeadLetters,
        options: Options,
        teller: Progress,
    ) -> None:
        self._file = file
        self._form: Format = form
        self._header = header
        self._journal = journal
        self._output = output
        self._settings = settings
        self._letters = letters
        self._options = options
        self._patiently = Patience(options.patience, teller.say).act
        self._teller = teller
        self._store = store
        self._results = Results(app)
        # seconds for which a result is kept
        self._life = float(app.conf.result_expires)
        sender = OneRedis if settings.is_one_redis else AnyBroker
        self._sender: Sender = sender(app, store, header.run)
        self._in_flight: dict[str, InFlight] = {}
        self._doubts: set[int] = set()
        #: lines that this process has sent again
        self._again: set[int] = set()
        self.state = State()
        #: rows of this process, by verdict or failure
        self.rows_of_this_process: Counter[str] = Counter()
        #: the run stopped before the end of the file
        self.is_budget_spent = False

    def go(self) -> None:
        """Run until each line has a verdict or a failure, or until the budget is spent and each sent line has one.

        Raises:
            CannotGoOn: broker or store were away for too long, or another process goes on.
        """
        try:
            while True:
                try:
                    self._go()
                    break
                except Lost:
                    self._teller.say("the store was emptied, or is one of before; asking what is left of what was sent")
                except Torn as torn:
                    self._note_torn(torn)
        finally:
            self._sender.close()
        if self.is_budget_spent:
            self._journal.add({"budget": "spent"})

    def _go(self) -> None:
        self.state = restored(self._journal, self._output)
        self._in_flight.clear()
        self.is_budget_spent = False
        self._begin()
        source = self._due()
        due: Task | None = None
        has_more = True
        quiet_since, asked = time.monotonic(), False
        while True:
            batch: list[Task] = []
            size = 0
            while has_more and len(self._in_flight) + len(batch) < self._options.in_flight:
                due = next(source, None)
                if due is None:
                    has_more = False
                    break
                is_other = batch and self._next_attempt(batch[0].check.line) != self._next_attempt(due.check.line)
                if is_other:
                    self._send(batch)
                    batch, size = [], 0
                batch.append(due)
                size += due.check.size
                if len(batch) >= self._sender.batch or size >= BATCH_BYTES:
                    break
            if batch:
                self._send(batch)
            if not self._in_flight and not has_more:
                return
            room = self._options.in_flight - len(self._in_flight)
            if not (has_more and room > 0 and batch):
                time.sleep(LOOK)
            if self._collect():
                quiet_since, asked = time.monotonic(), False
            elif not asked and time.monotonic() - quiet_since > QUIET:
                asked = True
                self._teller.say("no verdict for a minute; does a worker run, and is the lane open? See wxcheck status")
            self._teller.tick()

    def _begin(self) -> None:
        """Claim the run for this process, and find out which batches of the journal were published."""
        published = self._patiently(self._sender.claim)
        state = self.state
        if self._sender.knows and published is not None:
            batch = state.unpublished(published)
            if batch is not None:
                self._journal.add({"unsent": batch.lines, "batch": batch.number})
                self.state = state = restored(self._journal, self._output)
        older_than = time.time() - self._life
        self._doubts = state.doubtful(published, knows=self._sender.knows, older_than=older_than)
        if self._doubts:
            self._journal.add({"doubt": written(ranges_of(sorted(self._doubts)))})

    def _due(self) -> Iterator[Task]:
        """Yield the checks to send, in the order of the file; lines that were sent already are waited for."""
        state, budget = self.state, self._options.budget
        left = None if budget is None else budget - state.spent
        on_their_way = state.on_their_way()
        for line in Reader(self._file, self._form).lines():
            number, end = line.number, state.end(line.number)
            if not self._is_open(number, end):
                continue
            was_sent = end is End.NONE and state.attempt(number) > 0
            if self.is_budget_spent and not on_their_way:
                return
            check = check_of(line, self._header.appid, self._settings)
            if isinstance(check, list):
                self._end([invalid_row(_shown_id(line), number)])
                continue
            if was_sent:
                on_their_way -= 1
                if not self._is_doubtful(check):
                    continue
            elif end is End.UNKNOWN and not self._is_doubtful(check):
                continue
            if left is not None:
                if left <= 0:
                    self.is_budget_spent = True
                    continue
                left -= 1
            yield Task(task_id_of(self._header.run, number, self._next_attempt(number)), check)

    def _is_open(self, number: int, end: End) -> bool:
        """True if a line has yet to be sent, or waited for."""
        if end is End.NONE:
            return True
        if number in self._again:
            return False
        if end is End.UNKNOWN:
            return self._options.resend_doubtful
        return end is End.MENDABLE and self._options.retry_failed

    def _is_doubtful(self, check: LineCheck) -> bool:
        """Return True if a line that may have been sent is to be sent again.

        Any other line is waited for, or ends as unknown.
        """
        line, task_id = check.line, str(self.state.task_id(check.line))
        in_doubt = line in self._doubts or self.state.end(line) is End.UNKNOWN
        if in_doubt and not self._patiently(lambda: self._is_known(task_id)):
            if self._options.resend_doubtful:
                return True
            self._end([unknown_row(check.id, line, check.kind, task_id)])
            return False
        self._in_flight[task_id] = InFlight(line, check.id, check.kind)
        return False

    def _is_known(self, task_id: str) -> bool:
        """True if a check left a trace: a result, or its place."""
        return bool(self._store.hexists(SHARD.key("checks"), task_id)) or any(self._results.known([task_id]))

    def _next_attempt(self, number: int) -> int:
        return self.state.attempt(number) + 1

    def _send(self, tasks: list[Task]) -> None:
        state = self.state
        attempt = self._next_attempt(tasks[0].check.line)
        number = state.last_number + 1
        lines = written(ranges_of(task.check.line for task in tasks))
        batch = Batch(number, lines, len(tasks), attempt, round(time.time(), 3))
        if attempt > 1:
            for task in tasks:
                # a replay of the dead letter would send the line once more
                before = task_id_of(self._header.run, task.check.line, attempt - 1)
                self._patiently(lambda before=before: self._letters.drop(before))  # type: ignore[misc]
        self._journal.add_batch(batch)
        self._patiently(lambda: self._sender.send(number, tasks))
        if not self._sender.knows:
            self._journal.add({"published": number})
        state.note_batch(batch)
        if attempt > 1:
            self._again.update(task.check.line for task in tasks)
        for task in tasks:
            self._in_flight[task.task_id] = InFlight(task.check.line, task.check.id, task.check.kind)

    def _note_torn(self, torn: Torn) -> None:
        self.state = restored(self._journal, self._output)
        batch = self.state.last_number
        if torn.confirmed:
            lines = ranges_of(task.check.line for task in torn.confirmed)
            self._journal.add({"confirmed": written(lines), "batch": batch})
        if torn.unsent:
            self._journal.add({"unsent": written(ranges_of(task.check.line for task in torn.unsent)), "batch": batch})

    def _collect(self) -> bool:
        """Write the rows of the checks that have ended. Return True if there are any."""
        task_ids = list(self._in_flight)
        if self._results.most is not None:
            task_ids = task_ids[: self._results.most]
            for task_id in task_ids:  # the checks of this look go to the end
                self._in_flight[task_id] = self._in_flight.pop(task_id)
        found = self._patiently(lambda: self._look(task_ids))
        rows = []
        for task_id, meta in found:
            if has_ended(meta):
                line, id_, kind = self._in_flight.pop(task_id)
                rows.append(row_of_result(id_, line, kind, task_id, meta))
        self._end(rows)
        return bool(rows)

    def _look(self, task_ids: list[str]) -> list[tuple[str, dict[str, object]]]:
        self._sender.look()
        return list(self._results.known(task_ids))

    def _end(self, rows: list[Row]) -> None:
        if rows:
            self._output.write(rows)
            for row in rows:
                self.state.note_end(row)
            self.rows_of_this_process.update(row.failure or str(row.suggest) for row in rows)
            self._teller.advance(len(rows))


def restored(journal: Journal, output: Output) -> State:
    """Return the state of a run, from the files on the disk."""
    state = State()
    state.replay(journal.entries())
    state.replay_rows(output.rows())
    return state


def _shown_id(line: Line) -> str:
    shown = line.values.get("id")
    is_plain = isinstance(shown, (str, int)) and str(shown).isprintable() and len(str(shown)) <= 200
    return str(shown) if is_plain else str(line.number)
