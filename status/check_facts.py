"""All facts about one check: from the store, the result backend, the broker and the workers.

Users' content never leaves this module: of messages and results it reads only the state of the check.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import wxcheck
from config.broker_lists import lists_of
from config.lanes import QUEUES
from config.names import UNACKED
from config.redis_url import is_redis
from status.lanes import QUOTA, Stored, lane_numbers
from status.words import printable
from store.connection import connect, run_id
from store.places.census import Census
from wxcheck import SENT_AT_HEADER, CheckError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Celery
    from redis import Redis

    from config.lanes import Lane
    from config.settings import Settings
    from store.dead_letters.dead_letters import DeadLetter
    from worker.runtime import Runtime

#: seconds for one answer of Redis
TIMEOUT = 5.0
#: messages read at once, and most messages looked through in one queue
BATCH, DEEPEST = 200, 100_000
#: seconds in which workers tell their messages in hand
ASK_SECONDS = 1.0

#: fields of a check in the store that are read; the others may hold users' content
_OF_CHECK = (
    *("place", "kind", "appid", "priority", "trace", "media", "since", "pushed", "due", "why", "cancelled", "returns"),
    "how",
)


class Message(NamedTuple):
    """A message of the check, in the inbox or in the store."""

    task: str | None
    queue: str
    #: time of its sending, in seconds since the epoch, if its sender noted the time
    sent_at: float | None
    retries: int = 0
    #: for a message in a queue: number of messages that workers take before this one
    before: int = 0


class FollowUp(NamedTuple):
    """A queue that nobody consumes, in which follow-ups wait."""

    queue: str
    messages: int
    #: true: the queue holds a follow-up of this check; None: the broker does not show its messages
    own: bool | None


class LaneFacts(NamedTuple):
    """The lane in which the check waits for a permit."""

    #: number of checks before this one
    before: int
    #: one of :data:`status.labels.STATES`; unknown: the settings do not know its appId
    state: str
    #: the cause of that state, in English
    why: str | None
    #: time from which on it may get a permit, as far as that is known
    opens_at: float | None


class Facts(NamedTuple):
    """All facts about a check. Times are in seconds since the epoch; an absent fact is None, or empty."""

    task_id: str
    #: Redis' clock
    now: float
    #: the check in the store, without content: its place above all
    check: dict[str, Any]
    #: how its end is known, if it is: done | timeout | cancelled | invalid | …
    cause: str | None
    #: time at which it leaves its place: the shelf, the hand (its lease), or the wait for its push
    due: float | None
    #: its lane, if it waits there
    lane: LaneFacts | None
    #: it has ended, and its result or what follows is still to be stored and published
    in_outbox: bool
    #: its message
    message: Message | None
    #: state in the result backend; PENDING if the backend knows nothing
    state: str
    #: suggest, label, kind, version, appid, trace_id
    verdict: dict[str, Any] | None
    failure: dict[str, Any] | None
    date_done: float | None
    letter: DeadLetter | None
    #: the workers that name the check among their messages in hand
    processes: list[str]
    #: empty before the check has ended
    follow_ups: list[FollowUp]

    @property
    def place(self) -> str:
        """Return its place: one in the store; inbox; outbox; or '' where it is in none."""
        if self.in_outbox:
            return "outbox"
        return self.check.get("place") or ("inbox" if self.message is not None else "")


def gather(task_id: str, runtime: Runtime, app: Celery, store: Redis) -> Facts:
    """Look for a check in every place.

    Raises:
        RedisError, OperationalError: store, result backend or broker does not answer.
    """
    seconds, microseconds = store.time()
    now = float(seconds + microseconds / 1e6)
    census = Census(store, runtime.shard)
    whole = runtime.places.show(task_id) or {}
    check = {name: whole[name] for name in _OF_CHECK if name in whole}
    state, verdict, failure, date_done = _result(app, task_id)
    letter = runtime.dead_letters.letter(task_id)
    if letter is not None and failure is None:
        failure = failure_of(getattr(wxcheck, letter.failure)(*letter.said))
    place = check.get("place")
    kept = census.message(task_id)
    is_over = place == "ended" or (not place and bool(verdict or failure))
    message = _kept(kept) if kept else None if place else _in_inbox(runtime.settings, task_id)
    return Facts(
        task_id=task_id,
        now=now,
        check=check,
        cause=(whole.get("cause") or {}).get("ended"),
        due=census.due_at(place, task_id) if place in ("shelf", "hand", "parked") else None,
        lane=_lane(runtime, store, check["kind"], check["appid"], task_id, now) if place == "lane" else None,
        in_outbox=place == "ended" and census.is_in_outbox(task_id, whole.get("run", "")),
        message=message,
        state=state,
        verdict=verdict,
        failure=failure,
        date_done=date_done,
        letter=letter,
        processes=_processes(app, task_id) if place == "hand" else [],
        follow_ups=_follow_ups(runtime, app, store, task_id) if is_over else [],
    )


def _lane(runtime: Runtime, store: Redis, kind: Lane, appid: str, task_id: str, now: float) -> LaneFacts:
    census, program = Census(store, runtime.shard), runtime.settings.programs.get(appid)
    before = census.rank(kind, appid, task_id) or 0
    if program is None:
        return LaneFacts(before, "unknown", None, None)
    values = cast("list[str | None]", store.hmget(runtime.shard.of_lane(kind, appid)[1], QUOTA))
    quota = {field: value for field, value in zip(QUOTA, values, strict=True) if value is not None}
    per_minute, per_day, _ = runtime.rates.of(program, kind)
    told = lane_numbers(Stored(quota, b"", run_id(store) or ""), per_minute, per_day, now)
    # 0: the lane is next
    opens_at = told["opens_at"] or census.due_at(f"open:{kind}", appid) or None
    return LaneFacts(before, told["state"], (told["why"] or {}).get("en"), opens_at)


def failure_of(error: Any) -> dict[str, Any]:
    """Return a failure as it may be shown: ``name``, ``errcode``, ``rid``, ``said``; of a foreign one only the name."""
    said = printable(str(error)) if isinstance(error, CheckError) else None
    errcode = getattr(error, "errcode", getattr(error, "reason", None)) if isinstance(error, CheckError) else None
    rid = getattr(error, "rid", None) if isinstance(error, CheckError) else None
    return {
        "name": type(error).__name__,
        "errcode": errcode if isinstance(errcode, int) else None,
        "rid": printable(str(rid)) if rid else None,
        "said": said,
    }


def _result(app: Celery, task_id: str) -> tuple[str, dict[str, Any] | None, dict[str, Any] | None, float | None]:
    """Return state, verdict, failure and time of the end from the result backend."""
    app.backend.always_retry = False  # a person waits for the answer
    meta = app.backend.get_task_meta(task_id)
    state, result, done = str(meta["status"]), meta.get("result"), meta.get("date_done")
    verdict = failure = None
    if state == "SUCCESS" and isinstance(result, dict) and {"kind", "suggest"} <= set(result):
        verdict = {name: result.get(name) for name in ("suggest", "label", "kind", "version", "appid", "trace_id")}
    elif isinstance(result, BaseException):
        failure = failure_of(result)
        if hasattr(result, "trace_id"):
            failure["trace_id"] = result.trace_id
    return state, verdict, failure, _timestamp(done)


def _timestamp(done: object) -> float | None:
    if isinstance(done, str):
        done = datetime.fromisoformat(done)
    if not isinstance(done, datetime):
        return None
    return (done if done.tzinfo else done.replace(tzinfo=UTC)).timestamp()


def _kept(kept: dict[str, Any]) -> Message:
    """Read a message as the store keeps it (:mod:`worker.messages`)."""
    headers = kept["headers"]
    return Message(headers.get("task"), kept["queue"], headers.get(SENT_AT_HEADER), headers.get("retries") or 0)


def _in_inbox(settings: Settings, task_id: str) -> Message | None:
    """Look for a message through the inbox of a Redis broker; no other one shows its messages."""
    if not is_redis(settings.broker):
        return None
    with connect(settings.broker, TIMEOUT, retries=1) as broker:
        for queue in QUEUES:
            before = 0
            for name in lists_of(queue):
                offset = 0
                # the next message to be taken is at the end
                while raws := cast("list[str]", broker.lrange(name, -offset - BATCH, -offset - 1)):
                    for number, raw in enumerate(reversed(raws)):
                        message = _read(raw, queue, task_id) if task_id in raw else None
                        if message is not None:
                            return message._replace(before=before + offset + number)
                    offset += len(raws)
                    if offset >= DEEPEST:
                        break
                before += broker.llen(name)
        # taken by a worker that has not filed it, or cannot
        for _, taken in broker.hscan_iter(UNACKED, count=BATCH):
            name, _, raw = taken.partition("\n")
            if task_id in raw and (message := _read(raw, name, task_id)) is not None:
                return message
    return None


def _follow_ups(runtime: Runtime, app: Celery, store: Redis, task_id: str) -> list[FollowUp]:
    """Return the queues that nobody consumes in which a follow-up of the check waits, or may wait."""
    from status.follow_ups import FollowUpQueues
    from status.queues import BrokerAway, Queues

    settings = runtime.settings
    try:
        found = FollowUpQueues(store, Queues(settings, app), app).unconsumed()
    except BrokerAway:
        return []  # the other facts about the check are still worth having
    if not is_redis(settings.broker):
        return [FollowUp(queue.queue, queue.messages, None) for queue in found]
    with connect(settings.broker, TIMEOUT, retries=1) as broker:
        return [
            FollowUp(queue.queue, queue.messages, own=True)
            for queue in found
            if any(_follows(raw, task_id) for raw in _messages(broker, queue.queue))
        ]


def _messages(broker: Redis, queue: str) -> Iterator[str]:
    """Yield messages of a queue, the next one first, ``DEEPEST`` of each priority at most."""
    for name in lists_of(queue):
        for offset in range(0, DEEPEST, BATCH):
            raws = cast("list[str]", broker.lrange(name, -offset - BATCH, -offset - 1))
            yield from reversed(raws)
            if len(raws) < BATCH:
                break


def _follows(raw: str, task_id: str) -> bool:
    if task_id not in raw:
        return False
    try:
        headers = json.loads(raw)["headers"]
        return task_id in (headers.get("parent_id"), headers.get("root_id"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def _read(raw: str, queue: str, task_id: str) -> Message | None:
    """Read a message of kombu's; None if it belongs to another task."""
    try:
        stored = json.loads(raw)
        headers = stored.get("headers") or {}
        # Celery's first protocol has the id in the body, which may be encoded, and in correlation_id
        if task_id not in (headers.get("id"), stored["properties"].get("correlation_id")):
            return None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    name = queue.partition("\x06")[0]
    return Message(headers.get("task"), name, headers.get(SENT_AT_HEADER), headers.get("retries") or 0)


def _processes(app: Celery, task_id: str) -> list[str]:
    """Return the workers that answer, in time, that they have the check in hand."""
    # query_task knows nothing of a check that the same worker gave back a moment before: Celery forgets its id then
    answered = app.control.inspect(timeout=ASK_SECONDS).active() or {}
    return sorted(node for node, tasks in answered.items() if any(task["id"] == task_id for task in tasks or ()))
