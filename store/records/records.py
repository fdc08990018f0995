"""The record of each check, by its task id: what a message that is delivered again, or twice, is known by.

    (taken)    its message is unacknowledged at the broker; there is no record yet, and nothing was sent
    sending    written right before the call, with a lease: one run sends. Over, and no news: it died, and another sends
               With the check's ending, once that is known: whoever comes after takes it from there
    waiting    parked under its ``trace_id``, or its finish is on its way (:mod:`store.parked`)
    done       its end is stored and what follows is published, in one step; a mark, which expires

A check that has its ending, waits, or is done, is not sent again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from config.days import DAY
from store import keys
from store.outbox.outbox import commit, settle
from store.scripts import script

if TYPE_CHECKING:
    from redis import Redis

    from store.outbox.outbox import Arguments, Run

#: visibility time-outs to keep the mark of a text for: a message that nobody acknowledged comes again after one
KEEP_DONE = 10
#: seconds to keep it for at least: a message that came again may wait in its queue while nothing is sent
KEEP_DONE_LEAST = 600
#: seconds to keep the record of a check that is being sent, should its message be gone
KEEP_SENDING = 3600
#: seconds to keep the record of one whose ending is noted: its lane may be closed until the next day
KEEP_ENDING = 2 * DAY
#: seconds beyond the end of a call in which its answer is dealt with, and beyond its ending in which that is stored
MARGIN = 10.0

State = Literal["go", "anew", "busy", "noted", "cancelled", "waiting", "done", "taken"]


class RecordState(NamedTuple):
    """What a run that is about to send a check finds."""

    #: go (send it) | anew (send it; one with other content ended by its task id, whose result may be stored yet)
    #: | busy (another run is sending it) | noted (one that died has its ending) | cancelled | waiting | done
    #: | taken (a check with other content is under way by its task id)
    state: State
    #: of busy: for how long the other run's lease lasts
    seconds: float = 0.0
    #: of noted: as :mod:`store.records.endings` makes it
    ending: str = ""


class Over(Exception):
    """The check ended, or waits, by another run."""


class Taken(Exception):
    """A check with other content is under way by this task id."""


class Lost(Exception):
    """Another run has the check since, or nobody knows of it any more: this one must not end it."""


class Records:
    """The records of all processes."""

    def __init__(self, redis: Redis, visibility_timeout: float) -> None:
        self._redis = redis
        self._keep_done = round(max(KEEP_DONE * visibility_timeout, KEEP_DONE_LEAST))
        self._lease = script(redis, "store/records/lease")
        self._note_ending = script(redis, "store/records/note_ending")
        self._give_up_lease = script(redis, "store/records/give_up_lease")
        self._count_refusal = script(redis, "store/records/count_refusal")
        self._end_message = script(redis, "store/outbox/end_message")
        self._end_check = script(redis, "store/records/end_check")

    def look(self, task_id: str, digest: str = "") -> State:
        """How a check stands whose message comes again, as far as can be told without taking it; go: nothing is known
        that keeps it from being sent. ``digest``: of its content (:mod:`store.records.digest`)."""
        said = self._redis.hmget(keys.record(task_id), "state", "ending", "cancelled", "of")
        state, ending, cancelled, of = cast("list[str | None]", said)
        digests = (of or digest).split()
        if digest and digests[0] != digest:
            if digest in digests:
                return "done"
            return "go" if state == "done" else "taken"
        if state in ("waiting", "done"):
            return cast("State", state)
        return "noted" if ending else "cancelled" if cancelled else "go"

    def lease(self, task_id: str, run: str, seconds: float, digest: str = "") -> RecordState:
        """To be asked right before a call that is over after ``seconds``."""
        args: Arguments = [run, seconds + MARGIN, KEEP_SENDING, digest]
        return record_state(self._lease(keys=[keys.record(task_id)], args=args))

    def note_ending(self, task_id: str, run: Run, ending: str) -> tuple[str, bool]:
        """Notes the ending of a check (:mod:`store.records.endings`) before anything follows from it; the one that
        counts, for a run before this one may have noted another, and whether the result of a check with other
        content may be stored yet.

        Raises:
            Over, Lost, Taken: nothing may follow from it.
        """
        args: Arguments = [run.token, int(run.is_recorded), ending, MARGIN, KEEP_ENDING, run.digest]
        said, *counts = self._note_ending(keys=[keys.record(task_id)], args=args)
        match said:
            case "noted" | "anew":
                return str(counts[0]), said == "anew"
            case "over":
                raise Over
            case "taken":
                raise Taken
        raise Lost

    def has(self, task_id: str, run: str) -> bool:
        """Whether ``run`` sends the check, and no other one has it since."""
        return self._redis.hmget(keys.record(task_id), "state", "run") == ["sending", run]

    def give_up_lease(self, task_id: str, run: str) -> bool:
        """Says that the check comes back later; True where it does not, for it has been cancelled since: ``run`` has it
        still, and ends it."""
        return bool(self._give_up_lease(keys=[keys.record(task_id)], args=[run]))

    def end_message(self, run: Run) -> None:
        """Ends a message that is of no check of its own: what follows is published, and no result is stored."""
        settle(self._redis, run, self._end_message)

    def count_refusal(self, task_id: str) -> int:
        """Counts that the store has refused to end a check, and says how often that is now."""
        return int(self._count_refusal(keys=[keys.record(task_id)], args=[KEEP_ENDING]))

    def end_check(self, task_id: str, run: Run) -> Literal["ended", "lost", "repeated", "taken"]:
        """Ends a check that is not parked, its result being stored, and publishes what follows; may be said again.

        lost: this run has it no more, repeated: it ended or waits by another run, taken: a check with other content is
        under way by its task id; then nothing is published.
        """
        record = keys.record(task_id)
        end_keys = [record, keys.shelved(task_id), keys.SHELF]
        args: Arguments = [run.token, self._keep_done, task_id, int(run.is_recorded), run.digest]
        said = commit(self._redis, run, self._end_check, end_keys, args, record)
        return cast("Literal['ended', 'lost', 'repeated', 'taken']", said)


def record_state(said: list[str]) -> RecordState:
    """What ``begin.lua`` says."""
    state, *more = said
    match state:
        case "busy":
            return RecordState(state, seconds=float(more[0]))
        case "noted":
            return RecordState(state, ending=more[0])
    return RecordState(cast("State", state))
