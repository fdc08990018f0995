"""The store of parked checks: ties each ``trace_id`` to the rest of its check's message.

    park      push
      │         │
   waiting    early ──── nobody parks it: orphaned
      │         │
      └────┬────┘  push, time-out or cancelling; the other one of park and push
       finishing   its finish is published, again if it hangs
           │
         ended     a mark for repeated and late pushes, until it expires

Each step is one Lua script, atomic, and may be repeated.
"""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from config.logs import Log
from config.names import PUSH_QUEUE
from store import keys
from store.connection import STORE_AWAY
from store.outbox.outbox import NO_RESULT, commit, note_acknowledged, tag_of
from store.scripts import script

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from store.outbox.outbox import Arguments, Delivery, Run, StoredResult
    from store.watch.statistics import Statistics

log = Log(__name__)

#: seconds to keep a push that no check waits for: its check may be between the platform's answer and the store
KEEP_EARLY = 600
#: seconds to keep the mark of an ended check, by which a repeated or late push is recognised
KEEP_ENDED = 3600
#: checks that are read at once
BATCH = 500

Ended = Literal["done", "timeout", "cancelled"]
Outcome = dict[str, Any]

TIMED_OUT: Outcome = {"ended": "timeout"}
CANCELLED: Outcome = {"ended": "cancelled"}


def pushed(push: dict[str, Any]) -> Outcome:
    """Return the outcome of a check whose push came."""
    return {"ended": "done", "push": push}


class Kept(NamedTuple):
    """The kept message of a media check whose call is over, until its push comes."""

    #: the message of the check's finish, in its form for the queue; for another broker, the rest of the check's message
    #: (JSON)
    text: str
    #: positional and keyword arguments of the check and its priority (JSON), if the check may be replayed
    arguments: str = ""
    is_message: bool = False


class Parked(NamedTuple):
    """A check whose wait is over: its finish is on its queue, or the caller publishes it."""

    appid: str
    trace_id: str
    task_id: str
    #: rest of the check's message (JSON, :mod:`worker.messages`), from which the caller makes the finish; '' if it is
    #: published
    rest: str


class Waiting(NamedTuple):
    """A media check that is not ended, as ``wxcheck pending`` lists it."""

    #: early | waiting | finishing
    state: str
    appid: str
    trace_id: str
    #: None for an early push
    task_id: str | None
    #: time of the sweeper's next look, in seconds since the epoch; for a waiting check, the time-out
    due: float
    #: time of parking, if known
    since: float | None = None


class TraceIdTaken(Exception):
    """The platform gave one ``trace_id`` to two checks."""


class Superseded(Exception):
    """The sending run's lease was over: another run has sent the check since, or its record is gone."""


class Parking:
    """The parked checks of all processes.

    ``push_timeout``: seconds to wait for a push. ``lease``: seconds in which a published finish must have run;
    afterwards the finish is published again. ``statistics`` counts each push, and each push that does not come.
    """

    def __init__(self, redis: Redis, push_timeout: float, lease: float, statistics: Statistics) -> None:
        self._redis = redis
        self.statistics = statistics
        self._push_timeout = push_timeout
        self._lease = lease
        self._park = script(redis, "store/parked/park")
        self._match_push = script(redis, "store/parked/match_push")
        self._cancel = script(redis, "store/parked/cancel")
        self._overdue = script(redis, "store/parked/overdue")
        self._claim_finish = script(redis, "store/parked/claim_finish")
        self._give_up_claim = script(redis, "store/parked/give_up_claim")
        self._end = script(redis, "store/parked/end_parked")

    def park(
        self,
        appid: str,
        trace_id: str,
        task_id: str,
        kept: Kept,
        run: str,
        shown: StoredResult = NO_RESULT,
        delivery: Delivery | None = None,
    ) -> bool:
        """Park a check that ``run`` has sent.

        ``kept``: the message to keep. ``shown``: the result that shows the check waiting. ``delivery``: the check's
        message, which is acknowledged.

        Returns:
            True if the wait is over already, because the push came first or the check was cancelled. Then the caller
            publishes the finish at once, unless ``kept`` is a message.

        Raises:
            TraceIdTaken: another check has this ``trace_id``.
            Superseded: another run has sent the check since, or its record is gone.
        """
        member = member_of(appid, trace_id)
        state = self._park(
            keys=[
                *(keys.check(member), keys.DUE, keys.record(task_id), keys.COUNTERS),
                *(keys.shelved(task_id), keys.SHELF, keys.kept(member), shown.key, keys.UNACKED, keys.UNACKED_INDEX),
            ],
            args=[
                *(member, task_id, PUSH_QUEUE if kept.is_message else "", kept.text, kept.arguments),
                *(self._push_timeout, self._lease, run, json.dumps(CANCELLED)),
                *(shown.value, shown.seconds, tag_of(delivery)),
            ],
        )
        if state == "taken":
            raise TraceIdTaken(trace_id)
        if state == "lost":
            raise Superseded(trace_id)
        note_acknowledged(delivery)
        return bool(state == "finishing")  # a superfluous finish does no harm: one run claims the finish

    def match_push(
        self, appid: str, push: dict[str, Any], delivery: Delivery | None = None
    ) -> tuple[str, Parked | None]:
        """Match a push with its check.

        ``delivery``: the message that brought the push, which is acknowledged.

        Returns:
            ``matched``, ``early``, ``repeated``, ``late`` or ``orphaned``; and for ``matched`` the check, unless its
            finish was on its way already.
        """
        trace_id = push["trace_id"]
        member = member_of(appid, trace_id)
        what, *found = self._match_push(
            keys=[
                *(keys.check(member), keys.DUE, keys.COUNTERS, keys.kept(member)),
                *(keys.UNACKED, keys.UNACKED_INDEX),
            ],
            args=[
                *(member, json.dumps(pushed(push)), KEEP_EARLY, self._lease),
                *(PUSH_QUEUE, tag_of(delivery)),
            ],
        )
        note_acknowledged(delivery)
        self.statistics.push(what)
        if not found:
            return what, None
        *check, seconds = found
        self.statistics.delay(float(seconds))
        return what, Parked(appid, trace_id, *check)

    def cancel(self, task_id: str) -> Parked | None:
        """End the wait of a check without a push, and return the check; None if the check does not wait.

        A check that is being sent now is cancelled as soon as it is parked.
        """
        while True:
            member = cast("str", self._redis.hget(keys.record(task_id), "member") or "")
            what, *rest = self._cancel(
                keys=[keys.record(task_id), keys.check(member), keys.DUE, keys.kept(member)],
                args=[member, json.dumps(CANCELLED), self._lease, PUSH_QUEUE],
            ) or [None]
            if what == "cancelled":
                return Parked(*_parts(member), task_id, *rest)
            if what != "again":
                return None

    def overdue(self, members: list[str]) -> list[Parked]:
        """Return the checks among ``members`` that waited too long, and those whose finish hangs; drop orphaned pushes.

        ``members``: due checks (:func:`store.due.due.look`). Each check is handed to one caller only, until its lease
        is over. If the store refuses to deal with a check, that check comes up again after its lease, and delays no
        other.
        """
        if not members:
            return []
        timed_out = json.dumps(TIMED_OUT)
        with self._redis.pipeline(transaction=False) as pipe:
            for member in members:
                check_keys = [keys.check(member), keys.DUE, keys.COUNTERS, keys.kept(member), keys.HANGING]
                self._overdue(keys=check_keys, args=[member, timed_out, self._lease, PUSH_QUEUE], client=pipe)
            said = pipe.execute(raise_on_error=False)
        self.statistics.moved("due")
        overdue = []
        for member, what in zip(members, said, strict=True):
            match what:
                case Exception() if isinstance(what, STORE_AWAY):
                    raise what
                case Exception():
                    appid, trace_id = _parts(member)
                    refused = f"{type(what).__name__}: {what}; tried again in {self._lease:.0f} s"
                    log.error("not_brought_on", refused, trace_id=trace_id, appid=appid)
                    self._redis.zadd(keys.DUE, {member: self.now() + self._lease}, xx=True)
                case ["finishing", task_id, rest, *missing]:
                    overdue.append(Parked(*_parts(member), task_id, rest))
                    if missing:
                        self.statistics.push("missing")
                case ["orphaned"]:
                    self.statistics.push("orphaned")
        return overdue

    def kept(self, member: str) -> Kept | None:
        """Return the kept message of a check (``appid:trace_id``); None if the check is ended."""
        (kept,) = self._kept([member])
        return kept

    def each_kept(self, cursor: int, number: int) -> tuple[int | None, list[Kept]]:
        """Return the kept messages of about ``number`` checks, and the cursor of the next ones.

        ``cursor``: 0 at first, then the returned one; None: these were the last.
        """
        cursor, entries = cast("tuple[int, list[tuple[str, float]]]", self._redis.zscan(keys.DUE, cursor, count=number))
        members = iter([member for member, _ in entries])
        found: list[Kept] = []
        while batch := list(islice(members, BATCH)):
            found += [kept for kept in self._kept(batch) if kept is not None]
        return cursor or None, found

    def _kept(self, members: list[str]) -> list[Kept | None]:
        with self._redis.pipeline(transaction=False) as pipe:
            for member in members:
                pipe.hget(keys.check(member), "kept")
                pipe.get(keys.kept(member))
            said = cast("list[str | None]", pipe.execute())
        every: list[Kept | None] = []
        for form, text in zip(said[::2], said[1::2], strict=True):
            message, _, arguments = (text or "").partition("\n")
            every.append(None if text is None else Kept(message, arguments, is_message=form == "finish"))
        return every

    def claim_finish(
        self, appid: str, trace_id: str, task_id: str, run: str, instead: Outcome | None = None
    ) -> Outcome | None:
        """Claim the finish of a check for ``run``, and return the outcome; None if another run has the claim.

        ``instead``: an outcome that takes the place of the stored one, unless a run has claimed the finish before.
        """
        member = member_of(appid, trace_id)
        args: Arguments = [member, task_id, self._lease, run, json.dumps(instead) if instead is not None else ""]
        claim_keys = [keys.check(member), keys.DUE, keys.HANGING, keys.kept(member)]
        outcome = self._claim_finish(keys=claim_keys, args=args)
        return cast("Outcome", json.loads(outcome)) if outcome else None

    def give_up_claim(self, appid: str, trace_id: str, run: str) -> None:
        """Give up the claim of ``run`` on a finish, so that another run may claim it."""
        self._give_up_claim(keys=[keys.check(member_of(appid, trace_id))], args=[run])

    def end(self, appid: str, trace_id: str, task_id: str, ended: Ended, run: Run) -> bool:
        """End a check: store its result and publish its follow-ups. May be repeated.

        Returns:
            False if another run has claimed the finish since; then nothing is published.
        """
        member = member_of(appid, trace_id)
        check_keys = [
            keys.check(member),
            keys.DUE,
            keys.record(task_id),
            keys.COUNTERS,
            keys.kept(member),
            keys.HANGING,
        ]
        args: Arguments = [member, run.token, ended, KEEP_ENDED]
        return commit(self._redis, run, self._end, check_keys, args, keys.record(task_id)) == "ended"

    def now(self) -> float:
        """Return Redis' time in seconds since the epoch; all times of the store are Redis'."""
        seconds, microseconds = self._redis.time()
        return float(seconds + microseconds / 1e6)

    def waiting(self, limit: int) -> list[Waiting]:
        """Return media checks that are not ended, and early pushes; at most ``limit``, the next one due first."""
        return list(islice(self.each_waiting(), limit))

    def each_waiting(self) -> Iterator[Waiting]:
        """Yield all media checks that are not ended, and early pushes, the next one due first, as of the first step."""
        entries = iter(cast("list[tuple[str, float]]", self._redis.zrange(keys.DUE, 0, -1, withscores=True)))
        while batch := list(islice(entries, BATCH)):
            with self._redis.pipeline(transaction=False) as pipe:
                for member, _ in batch:
                    pipe.hmget(keys.check(member), "state", "task_id", "since")
                records = pipe.execute()
            for (member, due), (state, task_id, since) in zip(batch, records, strict=True):
                if state:
                    yield Waiting(state, *_parts(member), task_id, due, float(since) if since else None)


def member_of(appid: str, trace_id: str) -> str:
    """Return the name of a media check in the store."""
    return f"{appid}:{trace_id}"


def _parts(member: str) -> tuple[str, str]:
    appid, trace_id = member.split(":", 1)
    return appid, trace_id
