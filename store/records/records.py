"""The record of each check, by its task id, which recognises a message that is delivered again, or twice.

    (taken)    the check's message is unacknowledged at the broker; no record exists yet, and nothing was sent
    sending    written right before the call, with a lease: one run sends. If the lease ends without news, the run has
               died, and another run sends the check. An ending, once known, is noted here for any later run
    waiting    parked under its ``trace_id``, or its finish is on its way (:mod:`store.parked`)
    done       the end is stored and the follow-ups are published, in one step; a mark, which expires

A check that has its ending, waits, or is done, is not sent again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from config.days import DAY
from store import keys
from store.outbox.outbox import commit, publish_and_acknowledge
from store.scripts import script

if TYPE_CHECKING:
    from redis import Redis

    from store.outbox.outbox import Arguments, Run

#: visibility time-outs to keep the mark of a text: an unacknowledged message comes again after one
KEEP_DONE = 10
#: least seconds to keep the mark: a message that came again may wait in its queue while its lane is closed
KEEP_DONE_LEAST = 600
#: seconds to keep the record of a check that is being sent, in case its message is gone
KEEP_SENDING = 3600
#: seconds to keep the record of a check whose ending is noted: its lane may be closed until the next day
KEEP_ENDING = 2 * DAY
#: seconds after the end of a call for dealing with its answer, and after an ending for storing it
MARGIN = 10.0

State = Literal["go", "anew", "busy", "noted", "cancelled", "waiting", "done", "taken"]


class RecordState(NamedTuple):
    """The state of a check's record, for a run that is about to send the check."""

    #: go (send the check) | anew (send it; a check with other content ended under its task id, and its result may still
    #: be stored) | busy (another run sends it) | noted (a run that died has noted its ending) | cancelled | waiting
    #: | done | taken (a check with other content is under way under its task id)
    state: State
    #: seconds left of the other run's lease, if ``busy``
    seconds: float = 0.0
    #: the noted ending (:mod:`store.records.endings`), if ``noted``
    ending: str = ""


class Over(Exception):
    """Another run has ended or parked the check."""


class Taken(Exception):
    """A check with other content is under way under this task id."""


class Lost(Exception):
    """Another run has the check since, or its record is gone: the present run must not end it."""


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
        """Return the state of a check whose message comes again, without a lease; go: nothing forbids to send it.

        ``digest``: the content's (:mod:`store.records.digest`).
        """
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
        """Lease a check to ``run``, right before a call that is over after ``seconds``."""
        args: Arguments = [run, seconds + MARGIN, KEEP_SENDING, digest]
        return record_state(self._lease(keys=[keys.record(task_id)], args=args))

    def note_ending(self, task_id: str, run: Run, ending: str) -> tuple[str, bool]:
        """Note the ending of a check (:mod:`store.records.endings`) before anything follows from it.

        Returns:
            the ending that counts, since a run before this one may have noted another; and True if the result of a
            check with other content may still be stored.

        Raises:
            Over, Lost, Taken: nothing may follow from the ending.
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
        """True if ``run`` sends the check, and no other run has taken it over since."""
        return self._redis.hmget(keys.record(task_id), "state", "run") == ["sending", run]

    def give_up_lease(self, task_id: str, run: str) -> bool:
        """Give up the lease of ``run``, since the check comes back later.

        Returns:
            True if the check was cancelled meanwhile: ``run`` keeps the lease, and must end the check.
        """
        return bool(self._give_up_lease(keys=[keys.record(task_id)], args=[run]))

    def end_message(self, run: Run) -> None:
        """End a message that belongs to no check of its own: publish what follows, and store no result."""
        publish_and_acknowledge(self._redis, run, self._end_message)

    def count_refusal(self, task_id: str) -> int:
        """Count that the store has refused to end a check, and return the number of refusals."""
        return int(self._count_refusal(keys=[keys.record(task_id)], args=[KEEP_ENDING]))

    def end_check(self, task_id: str, run: Run) -> Literal["ended", "lost", "repeated", "taken"]:
        """End a check that is not parked: store its result and publish its follow-ups. May be repeated.

        Returns:
            ended; lost (``run`` has the check no more), repeated (another run has ended or parked the check) or taken
            (a check with other content is under way under its task id): then nothing is published.
        """
        record = keys.record(task_id)
        end_keys = [record, keys.shelved(task_id), keys.SHELF]
        args: Arguments = [run.token, self._keep_done, task_id, int(run.is_recorded), run.digest]
        said = commit(self._redis, run, self._end_check, end_keys, args, record)
        return cast("Literal['ended', 'lost', 'repeated', 'taken']", said)


def record_state(said: list[str]) -> RecordState:
    """Return the state in an answer of ``lease.lua``."""
    state, *more = said
    match state:
        case "busy":
            return RecordState(state, seconds=float(more[0]))
        case "noted":
            return RecordState(state, ending=more[0])
    return RecordState(cast("State", state))
