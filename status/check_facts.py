"""All facts about one check: from the store, the result backend, the broker and the workers.

Users' content never leaves this module: of messages and results it reads only the state of the check.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import wxcheck
from config.lanes import QUEUE_OF
from config.redis_url import is_redis
from status.words import printable
from store import keys
from store.connection import connect
from store.parked.parked import Kept
from worker.messages import decode_kept
from wxcheck import SENT_AT_HEADER, CheckError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Celery
    from redis import Redis

    from config.settings import Settings
    from store.dead_letters.dead_letters import DeadLetter
    from worker.runtime import Runtime

#: seconds for one answer of Redis
TIMEOUT = 5.0
#: messages read at once, and most messages looked through in one queue
BATCH, DEEPEST = 200, 100_000
#: seconds in which workers tell their messages in hand
ASK_SECONDS = 1.0

#: the fields of a check's hash that are read; the other fields hold users' content
_OF_CHECK = ("state", "task_id", "since", "pushed", "outcome", "claimed", "tries", "ended", "ended_at")


class Message(NamedTuple):
    """A message of the check, found at the broker or on the shelf."""

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


class Facts(NamedTuple):
    """All facts about a check. Times are in seconds since the epoch; an absent fact is None, or empty."""

    task_id: str
    #: Redis' clock
    now: float
    record: dict[str, str]
    #: ``appid:trace_id``
    member: str | None
    check: dict[str, str]
    #: image | audio, and the time of its sending; known of a parked check only
    kind: str | None
    sent_at: float | None
    #: time of the sweeper's next look; for a check that waits for its push, the time-out
    due: float | None
    #: state in the result backend; PENDING if the backend knows nothing
    state: str
    #: suggest, label, kind, version, appid, trace_id
    verdict: dict[str, Any] | None
    failure: dict[str, Any] | None
    date_done: float | None
    shelved: Message | None
    shelved_until: float | None
    letter: DeadLetter | None
    #: the message that a worker has taken and not acknowledged
    in_hand: Message | None
    queued: Message | None
    #: the workers that name the check among their messages in hand
    processes: list[str]
    #: empty before the check has ended
    follow_ups: list[FollowUp]


def gather(task_id: str, runtime: Runtime, app: Celery, store: Redis) -> Facts:
    """Look for a check in every place.

    Raises:
        RedisError, OperationalError: store, result backend or broker does not answer.
    """
    seconds, microseconds = store.time()
    record = cast("dict[str, str]", store.hgetall(keys.record(task_id)))
    state, verdict, failure, date_done = _result(app, task_id)
    letter = runtime.dead_letters.letter(task_id)
    if letter is not None and failure is None:
        failure = failure_of(getattr(wxcheck, letter.failure)(*letter.said))
    member = record.get("member") or _member(runtime.settings, store, task_id, verdict, failure)
    check: dict[str, str] = {}
    kind = sent_at = due = None
    if member is not None:
        found = cast("list[str | None]", store.hmget(keys.check(member), *_OF_CHECK))
        check = {name: value for name, value in zip(_OF_CHECK, found, strict=True) if value is not None}
        kind, sent_at = _of_kept(runtime.parking.kept(member))
        due = store.zscore(keys.DUE, member)
    shelved = _shelved(cast("str | None", store.get(keys.shelved(task_id))))
    # a replay leaves a record without a state, and the result of the run before it
    ended = bool(verdict or failure) and (not record or "state" in record)
    in_hand, queued = _at_broker(runtime, task_id, known=bool(record.get("state") or shelved or ended))
    busy = in_hand is not None or record.get("state") in ("sending", "waiting")
    return Facts(
        task_id=task_id,
        now=float(seconds + microseconds / 1e6),
        record=record,
        member=member,
        check=check,
        kind=kind,
        sent_at=sent_at,
        due=due,
        state=state,
        verdict=verdict,
        failure=failure,
        date_done=date_done,
        shelved=shelved,
        shelved_until=store.zscore(keys.SHELF, task_id),
        letter=letter,
        in_hand=in_hand,
        queued=queued,
        processes=_processes(app, task_id) if busy and check.get("state") != "waiting" else [],
        follow_ups=_follow_ups(runtime, app, store, task_id) if ended else [],
    )


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


def _member(
    settings: Settings, store: Redis, task_id: str, verdict: dict[str, Any] | None, failure: dict[str, Any] | None
) -> str | None:
    """Return ``appid:trace_id`` of a parked check from its result; the store keeps the task id under it for an hour."""
    trace_id = (verdict or failure or {}).get("trace_id")
    if not trace_id:
        return None
    appids = [verdict["appid"]] if verdict else list(settings.programs)
    for appid in appids:
        if store.hget(keys.check(f"{appid}:{trace_id}"), "task_id") == task_id:
            return f"{appid}:{trace_id}"
    return None


def _of_kept(kept: Kept | None) -> tuple[str | None, float | None]:
    if kept is None:
        return None, None
    half = decode_kept(kept)
    return half.kind, (half.rest.get("headers") or {}).get(SENT_AT_HEADER)


def _shelved(text: str | None) -> Message | None:
    """Read the check's message on the shelf, of either kind (:mod:`worker.messages`)."""
    if text is None:
        return None
    message = json.loads(text)
    headers = message.get("headers") or message.get("rest", {}).get("headers") or {}
    retries = (message.get("rest") or headers).get("retries") or 0
    return Message(message.get("name") or headers.get("task"), message["queue"], headers.get(SENT_AT_HEADER), retries)


def _at_broker(runtime: Runtime, task_id: str, *, known: bool) -> tuple[Message | None, Message | None]:
    """Return the check's message in a worker's hands, and its message in a queue.

    The queues are looked through only if no other place has ``known`` of the check.
    """
    settings = runtime.settings
    if not is_redis(settings.broker):
        return None, None
    from config.celery import celery_configuration

    unacknowledged = celery_configuration(settings)["broker_transport_options"]["unacked_key"]
    broker = connect(settings.broker, TIMEOUT, retries=1)
    try:
        for _, taken in broker.hscan_iter(unacknowledged, count=BATCH):
            if task_id in taken:
                name, _, raw = taken.partition("\n")
                if (message := _read(raw, name, task_id)) is not None:
                    return message, None
        return None, None if known else _queued(runtime, broker, task_id)
    finally:
        broker.close()


def _queued(runtime: Runtime, broker: Redis, task_id: str) -> Message | None:
    from config.lanes import own_queue
    from worker.fetching.broker_lists import lists_of

    shared = tuple(QUEUE_OF.values())
    for queue in (*shared, *(own_queue(queue, appid) for queue in shared for appid in runtime.settings.programs)):
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
    from worker.fetching.broker_lists import lists_of

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
    answered = app.control.inspect(timeout=ASK_SECONDS).query_task(task_id) or {}
    return sorted(node for node, found in answered.items() if isinstance(found, dict) and task_id in found)
