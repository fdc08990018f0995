"""The life of a check, from its facts: its state, the times of its steps, and its end. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from status.remedies import remedy
from status.words import duration

if TYPE_CHECKING:
    from status.check_facts import Facts

#: state -> its word for people
SHOWN = {
    "queued": "queued",
    "taken": "taken",
    "shelved": "shelved",
    "sending": "being sent",
    "waiting": "waiting",
    "finishing": "finishing",
    "done": "done",
    "failed": "failed",
    "dead_letter": "dead letter",
    "unknown": "unknown",
}

UNKNOWN = (
    "nothing is known of it. Is the id right, and of a check? Its result may be gone (it is kept for 26 hours, and not "
    "at all under ignore_result); it may be in a queue of another broker, or deep in a long one; or Redis has lost it"
)


class Life(NamedTuple):
    """The life of a check, as ``wxcheck show`` tells it."""

    task_id: str
    #: a key of :data:`SHOWN`
    state: str
    #: the state in a sentence, with the next step
    said: str
    task: str | None
    queue: str | None
    kind: str | None
    appid: str | None
    trace_id: str | None
    #: the workers that have the check in hand
    processes: list[str]
    #: step -> its time in seconds since the epoch, past or to come, in order: enqueued, begun, parked, pushed, ended,
    #: failed, comes_back, times_out
    times: dict[str, float]
    verdict: dict[str, Any] | None
    #: name, errcode, rid, said, remedy
    failure: dict[str, Any] | None
    #: queue, messages, own: queues that nobody consumes, in which its follow-up waits, or may wait (own: null)
    follow_ups: list[dict[str, Any]]


def life_of(facts: Facts) -> Life:
    """Return the life of a check from ``facts``."""
    state, said = _state(facts)
    is_over = state in ("done", "failed", "dead_letter")
    message = facts.in_hand or facts.queued or facts.shelved
    appid, _, trace_id = (facts.member or "").partition(":")
    verdict = facts.verdict if is_over else None
    told = verdict or {}
    return Life(
        task_id=facts.task_id,
        state=state,
        said=said,
        task=_task(facts),
        queue=message.queue if message else None,
        kind=told.get("kind") or facts.kind,
        appid=appid or told.get("appid") or (facts.letter.appid if facts.letter else None),
        trace_id=trace_id or told.get("trace_id") or (facts.failure or {}).get("trace_id"),
        processes=facts.processes,
        times=_times(facts, state, is_over=is_over),
        verdict=verdict,
        failure=_failure(facts) if is_over or facts.state == "RETRY" else None,
        follow_ups=[follow_up._asdict() for follow_up in facts.follow_ups],
    )


def _state(facts: Facts) -> tuple[str, str]:
    """Return the key of the state and its sentence. A replay outranks the result of the run before it."""
    match facts.record.get("state"):
        case "waiting":
            return _parked(facts)
        case "sending":
            return _sending(facts)
    replayed = bool(facts.record) and "state" not in facts.record
    if facts.shelved_until is not None:
        return "shelved", _shelved(facts)
    if facts.letter is not None:
        return "dead_letter", f"it failed, and is kept: wxcheck replay {facts.task_id} runs it again"
    if facts.record.get("state") == "done" or not replayed:
        if facts.state == "SUCCESS":
            return "done", "it has its verdict" if facts.verdict else "it ended; its result is no verdict of wxcheck's"
        if facts.state == "FAILURE":
            return "failed", "it could not be checked; treat it as not passed"
        if facts.record.get("state") == "done":
            return "done", "it ended; its result is not stored (ignore_result), or not any more"
    if facts.in_hand is not None:
        return "taken", "a worker has it in hand and is about to send it, or waits for a permit of the quota"
    if facts.queued is not None:
        return "queued", f"in {facts.queued.queue}, {facts.queued.before:,} before it"
    if facts.state not in ("PENDING", "RETRY", "SUCCESS", "FAILURE"):
        return "unknown", f"its result says {facts.state}, and the store knows nothing of it: Redis may have lost it"
    return "unknown", UNKNOWN


def _parked(facts: Facts) -> tuple[str, str]:
    if facts.check.get("state") == "waiting":
        left = f", which ends it with PushTimeout in {duration(facts.due - facts.now)}" if facts.due else ""
        since = _number(facts.check.get("since"))
        waited = f" for {duration(facts.now - since)}" if since else ""
        return "waiting", f"for its push{waited}; WeChat promises one within 30 minutes{left}"
    by = {"done": "its push is here", "timeout": "no push came", "cancelled": "it was cancelled"}
    said = by.get(_outcome(facts), "its wait is over")
    if (claimed := _number(facts.check.get("claimed"))) and claimed > facts.now:
        return "finishing", f"{said}; a worker ends it now"
    tries = f", published {int(facts.check['tries']) + 1} times" if "tries" in facts.check else ""
    return "finishing", f"{said}; its finish is on its way{tries}: does a worker consume wxcheck.push?"


def _sending(facts: Facts) -> tuple[str, str]:
    cancelled = "; it will be cancelled" if "cancelled" in facts.record else ""
    if "ending" in facts.record:
        return "finishing", f"WeChat has answered, and its end is being stored{cancelled}"
    left = (_number(facts.record.get("lease")) or 0.0) - facts.now
    if left > 0:
        return "sending", f"a call to WeChat is under way{cancelled}"
    return "sending", f"its worker has not been heard of: another one sends it when it takes its message up{cancelled}"


def _shelved(facts: Facts) -> str:
    why = "it failed for a reason that passes, and is sent again" if facts.state == "RETRY" else "it goes to its queue"
    left = (facts.shelved_until or 0.0) - facts.now
    return f"on the shelf; {why} {'in ' + duration(left) if left > 0 else 'now: does a worker run?'}"


def _task(facts: Facts) -> str | None:
    for message in (facts.queued, facts.shelved, facts.in_hand):
        # a finish, under the check's own id, is not the check's task
        if message is not None and message.task not in (None, "wxcheck.finish"):
            return message.task
    if facts.letter is not None:
        return facts.letter.task
    kind = (facts.verdict or {}).get("kind") or facts.kind
    if kind is None:
        return None
    return "wxcheck.check_text" if kind == "text" else "wxcheck.check_media"


def _times(facts: Facts, state: str, *, is_over: bool) -> dict[str, float]:
    message = facts.queued or facts.shelved or facts.in_hand
    waits = facts.check.get("state") == "waiting"
    times = {
        "enqueued": message.sent_at if message and message.sent_at else facts.sent_at,
        "begun": _number(facts.record.get("begun") or facts.check.get("begun")),
        "parked": _number(facts.check.get("since")),
        "pushed": _number(facts.check.get("pushed")),
        "ended": _ended(facts) if is_over else None,
        "comes_back": facts.shelved_until if state == "shelved" and facts.shelved_until else None,
        "times_out": facts.due if waits else None,
    }
    return {name: at for name, at in times.items() if at is not None}


def _ended(facts: Facts) -> float | None:
    marked = _number(facts.record.get("ended_at") or facts.check.get("ended_at"))
    return marked or facts.date_done or (facts.letter.failed_at if facts.letter else None)


def _failure(facts: Facts) -> dict[str, Any] | None:
    failure = facts.failure
    if failure is None:
        return None
    shown = {name: failure.get(name) for name in ("name", "errcode", "rid", "said")}
    return {**shown, "remedy": remedy(failure["name"], failure.get("errcode"))["en"]}


def _outcome(facts: Facts) -> str:
    try:
        return str(json.loads(facts.check["outcome"])["ended"])
    except (KeyError, ValueError, TypeError):
        return facts.check.get("ended", "")


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
