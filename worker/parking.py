"""The store of parked checks: ties each ``trace_id`` to the rest of its check's message.

    park      push
      │         │
   waiting    early ──── nobody parks it: orphaned
      │         │
      └────┬────┘  push, time-out or cancelling; the other one of park and push
       finishing   its finish is published, again if it hangs
           │
         ended     a mark, by which repeated and late pushes are known, until it expires

Each step is one Lua script, atomic, and may be repeated.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from config import keys
from worker.scripts import script

if TYPE_CHECKING:
    from redis import Redis

#: seconds in which a published finish must have run, else it is published again
LEASE = 60
#: seconds to keep a push that nobody waits for: its check may be between the platform's answer and the store
KEEP_EARLY = 600
#: seconds to know an ended check by, when its push comes again or too late
KEEP_ENDED = 3600

Ended = Literal["done", "timeout", "cancelled"]
Outcome = dict[str, Any]

TIMED_OUT: Outcome = {"ended": "timeout"}
CANCELLED: Outcome = {"ended": "cancelled"}


def pushed(push: dict[str, Any]) -> Outcome:
    """The outcome of a check whose push came."""
    return {"ended": "done", "push": push}


class Parked(NamedTuple):
    """A check whose wait is over: its finish is to be published."""

    appid: str
    trace_id: str
    task_id: str
    #: JSON, see :mod:`worker.messages`
    rest: str


class Waiting(NamedTuple):
    """A media check that is not ended, as ``wxcheck pending`` lists it."""

    #: early | waiting | finishing
    state: str
    appid: str
    trace_id: str
    #: None of an early push
    task_id: str | None
    #: when the sweeper looks at it next, in seconds since the epoch: when a waiting one times out
    due: float


class TraceIdTaken(Exception):
    """The platform gave one ``trace_id`` to two checks."""


class Parking:
    """The parked checks of all processes."""

    def __init__(self, redis: Redis, push_timeout: float) -> None:
        self._redis = redis
        self._push_timeout = push_timeout
        self._park = script(redis, "park")
        self._push = script(redis, "push")
        self._cancel = script(redis, "cancel")
        self._overdue = script(redis, "overdue")
        self._claim = script(redis, "claim")
        self._finished = script(redis, "finished")

    def park(self, appid: str, trace_id: str, task_id: str, rest: str) -> bool:
        """Parks a check; True where its push was here before, so that its finish is to be published at once.

        Raises:
            TraceIdTaken: another check has this ``trace_id``.
        """
        member = _member(appid, trace_id)
        state = self._park(
            keys=[keys.check(member), keys.DUE, keys.task(task_id), keys.COUNTERS],
            args=[member, task_id, rest, self._push_timeout, LEASE],
        )
        if state == "taken":
            raise TraceIdTaken(trace_id)
        return bool(state == "finishing")  # one finish more than needed does no harm: one run claims it

    def is_parked(self, task_id: str) -> bool:
        """Whether a check waits already: its message was delivered again, and must not be sent again."""
        return bool(self._redis.exists(keys.task(task_id)))

    def push(self, appid: str, push: dict[str, Any]) -> tuple[str, Parked | None]:
        """Takes a push in: what it was (``matched``, ``early``, ``repeated``, ``late`` or ``orphaned``), and in the
        first case the check whose finish is to be published, unless that is on its way."""
        trace_id = push["trace_id"]
        member = _member(appid, trace_id)
        what, *found = self._push(
            keys=[keys.check(member), keys.DUE, keys.COUNTERS],
            args=[member, json.dumps(pushed(push)), KEEP_EARLY, LEASE],
        )
        return what, Parked(appid, trace_id, *found) if found else None

    def cancel(self, task_id: str) -> Parked | None:
        """Ends the wait of a check without a push; None where it does not wait."""
        member = cast("str | None", self._redis.get(keys.task(task_id)))
        if member is None:
            return None
        found = self._cancel(keys=[keys.check(member), keys.DUE], args=[member, task_id, json.dumps(CANCELLED), LEASE])
        return Parked(*_parts(member), task_id, found[0]) if found else None

    def overdue(self, limit: int) -> list[Parked]:
        """Checks that waited too long, and finishes that hang: at most ``limit``; early pushes of nobody are dropped.

        Each is handed to one caller only, until its lease is over.
        """
        seconds, microseconds = self._redis.time()
        now = seconds + microseconds / 1e6
        members = cast("list[str]", self._redis.zrangebyscore(keys.DUE, "-inf", now, start=0, num=limit))
        overdue = []
        for member in members:
            what = self._overdue(
                keys=[keys.check(member), keys.DUE, keys.COUNTERS], args=[member, json.dumps(TIMED_OUT), LEASE]
            )
            if what and what[0] == "finishing":
                overdue.append(Parked(*_parts(member), *what[1:]))
        return overdue

    def claim(self, appid: str, trace_id: str, task_id: str) -> Outcome | None:
        """What ended the wait of a check, for the one run that may finish it; None for every other one."""
        outcome = self._claim(keys=[keys.check(_member(appid, trace_id))], args=[task_id, LEASE])
        return cast("Outcome", json.loads(outcome)) if outcome else None

    def finished(self, appid: str, trace_id: str, task_id: str, ended: Ended) -> None:
        """Ends a check, when its follow-up is published and its result stored."""
        member = _member(appid, trace_id)
        self._finished(
            keys=[keys.check(member), keys.DUE, keys.task(task_id), keys.COUNTERS], args=[member, ended, KEEP_ENDED]
        )

    def waiting(self, limit: int) -> list[Waiting]:
        """Media checks that are not ended, and early pushes; at most ``limit``, the next one due first."""
        entries = cast("list[tuple[str, float]]", self._redis.zrange(keys.DUE, 0, limit - 1, withscores=True))
        with self._redis.pipeline(transaction=False) as pipe:
            for member, _ in entries:
                pipe.hmget(keys.check(member), "state", "task_id")
            records = pipe.execute()
        return [
            Waiting(state, *_parts(member), task_id, due)
            for (member, due), (state, task_id) in zip(entries, records, strict=True)
            if state
        ]


def _member(appid: str, trace_id: str) -> str:
    return f"{appid}:{trace_id}"


def _parts(member: str) -> tuple[str, str]:
    appid, trace_id = member.split(":", 1)
    return appid, trace_id
