"""The life of a check, from its facts: its state, the times of its steps, and its end. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from status.remedies import remedy
from status.words import duration

if TYPE_CHECKING:
    from status.check_facts import Facts

#: state -> its word for people; the first ones are places
SHOWN = {
    "inbox": "in the inbox",
    "lane": "in its lane",
    "shelf": "on the shelf",
    "in_hand": "in hand",
    "parked": "parked",
    "ready": "ready",
    "outbox": "in the outbox",
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
    #: number of checks before it in its lane, or of messages in its inbox
    before: int | None
    #: step -> its time in seconds since the epoch, past or to come, in order: enqueued, parked, pushed, ended, opens
    #: (its lane), comes_back, taken_over, times_out, stale, expired
    times: dict[str, float]
    verdict: dict[str, Any] | None
    #: name, errcode, rid, said, remedy
    failure: dict[str, Any] | None
    #: queue, messages, own: queues that nobody consumes, in which its follow-up waits, or may wait (own: null)
    follow_ups: list[dict[str, Any]]


def life_of(facts: Facts) -> Life:
    """Return the life of a check from ``facts``."""
    state, said = _state(facts)
    is_over = state in ("outbox", "done", "failed", "dead_letter")
    verdict = facts.verdict if is_over else None
    told = verdict or {}
    check = facts.check
    return Life(
        task_id=facts.task_id,
        state=state,
        said=said,
        task=_task(facts),
        queue=facts.message.queue if facts.message else None,
        kind=told.get("kind") or check.get("media"),
        appid=check.get("appid") or told.get("appid") or (facts.letter.appid if facts.letter else None),
        trace_id=check.get("trace") or told.get("trace_id") or (facts.failure or {}).get("trace_id"),
        processes=facts.processes,
        before=facts.lane.before
        if facts.lane
        else facts.message.before
        if state == "inbox" and facts.message
        else None,
        times=_times(facts, is_over=is_over),
        verdict=verdict,
        failure=_failure(facts) if is_over or facts.state == "RETRY" else None,
        follow_ups=[follow_up._asdict() for follow_up in facts.follow_ups],
    )


def _state(facts: Facts) -> tuple[str, str]:
    """Return the key of the state, and a sentence that says why it is there and what comes next."""
    match facts.place:
        case "inbox":
            before = facts.message.before if facts.message else 0
            return "inbox", f"no worker has read it yet, {before:,} before it: does one serve that queue?"
        case "lane":
            return "lane", _lane(facts)
        case "shelf":
            return "shelf", _on_shelf(facts)
        case "hand":
            return "in_hand", _in_hand(facts)
        case "parked":
            return "parked", _parked(facts)
        case "ready":
            return "ready", f"{_BY.get(facts.cause or '', 'its end is known')}; the next free worker tells so"
        case "outbox":
            return "outbox", _in_outbox(facts)
    return _over(facts)


#: what has ended the wait of a check
_BY = {
    "done": "its push is here",
    "timeout": "no push came",
    "cancelled": "it was cancelled",
    "revoked": "it was revoked",
    "stale": "its user has been away for too long",
    "expired": "it has expired",
    "invalid": "its arguments are wrong",
    "taken": "its task id was taken",
}


#: how a check has ended, as its mark says it
_ENDED = {
    "done": "it has its verdict",
    "failed": "it failed",
    "timeout": "no push came",
    "cancelled": "it was cancelled",
}


def _over(facts: Facts) -> tuple[str, str]:
    if facts.letter is not None:
        return "dead_letter", f"it failed, and is kept: wxcheck replay {facts.task_id} runs it again"
    if facts.state == "SUCCESS":
        return "done", "it has its verdict" if facts.verdict else "it ended; its result is no verdict of wxcheck's"
    if facts.state == "FAILURE":
        return "failed", "it could not be checked; treat it as not passed"
    if facts.place == "ended":
        return "done", "it ended; its result is not stored (ignore_result), or not any more"
    if facts.state not in ("PENDING", "RETRY"):
        return "unknown", f"its result says {facts.state}, and the store knows nothing of it: Redis may have lost it"
    return "unknown", UNKNOWN


def _lane(facts: Facts) -> str:
    lane = facts.lane
    assert lane is not None  # noqa: S101 - the facts of a check in a lane have its lane
    before = f"{lane.before:,} before it" if lane.before else "the next one"
    if lane.state == "unknown":
        return f"{before}; the settings do not know its appId: the next free worker fails it"
    left = (lane.opens_at or 0.0) - facts.now
    opens = f"in {duration(left)}" if left > 0 else "now: does a worker run, with free slots?"
    if lane.state in ("open", "slowed"):
        slowed = f" ({lane.why})" if lane.why else ""
        return f"it waits for a permit of the quota, {before}; the next permit comes {opens}{slowed}"
    return f"it waits for a permit of the quota, {before}; the lane is {lane.state}: {lane.why}; it opens {opens}"


def _parked(facts: Facts) -> str:
    left = f", which ends it with PushTimeout in {duration(facts.due - facts.now)}" if facts.due else ""
    since = _seconds(facts.check.get("since"))
    waited = f" for {duration(facts.now - since)}" if since else ""
    return f"it waits for its push{waited}; WeChat promises one within 30 minutes{left}"


def _in_hand(facts: Facts) -> str:
    cancelled = "; it will be cancelled" if facts.check.get("cancelled") else ""
    left = (facts.due or 0.0) - facts.now
    if left > 0:
        what = "a worker sends it" if facts.cause is None else "a worker tells its end"
        return f"{what}; another one takes it over in {duration(left)} if that one dies{cancelled}"
    return f"its worker has not been heard of: another one takes it over now{cancelled}"


def _in_outbox(facts: Facts) -> str:
    how = _ENDED.get(facts.check.get("how", ""), "it ended")
    return f"{how}; its result, or what follows, is not stored or published yet: do broker and result backend answer?"


def _on_shelf(facts: Facts) -> str:
    why = "it failed for a reason that passes, and is sent again" if facts.state == "RETRY" else "it goes to its lane"
    left = (facts.due or 0.0) - facts.now
    return f"{why} {'in ' + duration(left) if left > 0 else 'now: does a worker run?'}"


def _task(facts: Facts) -> str | None:
    if facts.message is not None and facts.message.task is not None:
        return facts.message.task
    if facts.letter is not None:
        return facts.letter.task
    kind = (facts.verdict or {}).get("kind") or facts.check.get("kind")
    if kind is None:
        return None
    return "wxcheck.check_text" if kind == "text" else "wxcheck.check_media"


def _times(facts: Facts, *, is_over: bool) -> dict[str, float]:
    check, place = facts.check, facts.place
    since = _seconds(check.get("since"))
    times = {
        "enqueued": facts.message.sent_at if facts.message else None,
        "parked": since if place in ("parked", "ready") else None,
        "pushed": _seconds(check.get("pushed")),
        "ended": (since if place in ("ended", "outbox") else None) or facts.date_done or _failed_at(facts)
        if is_over
        else None,
        "opens": facts.lane.opens_at if facts.lane else None,
        "comes_back": facts.due if place == "shelf" else None,
        "taken_over": facts.due if place == "hand" else None,
        "times_out": facts.due if place == "parked" else None,
    }
    if place in ("lane", "shelf"):
        times[check.get("why", "stale")] = _seconds(check.get("due"))
    return {name: at for name, at in times.items() if at is not None}


def _failed_at(facts: Facts) -> float | None:
    return facts.letter.failed_at if facts.letter else None


def _failure(facts: Facts) -> dict[str, Any] | None:
    failure = facts.failure
    if failure is None:
        return None
    shown = {name: failure.get(name) for name in ("name", "errcode", "rid", "said")}
    return {**shown, "remedy": remedy(failure["name"], failure.get("errcode"))["en"]}


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
