"""The arrival of a request at a push URL: its reading, and the endpoint's answer to it. Pure."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from wechat.push.messages import cleaned_or_other, normalised_push, outline
from wechat.push.outcomes import BadSignature, Outcome, PlainRefused, Refusal, UnknownAppid
from wechat.push.verification import MAX_SKEW, check_url, open_push

if TYPE_CHECKING:
    from config.settings import MiniProgram
    from wechat.push.messages import Message
    from wechat.push.verification import Params


class Arrival(NamedTuple):
    """A request, as far as it could be read. A request that could not be verified shows no content."""

    #: outcome, by its counter's name; ``queued`` for a good verdict
    outcome: str
    #: the endpoint's answer
    status: int
    answer: str
    #: the endpoint would take the request
    well: bool
    #: kind of request, or its fault
    said: str
    #: remedy, if the request is refused
    remedy: str | None = None
    #: right | wrong; None: not looked at
    signature: str | None = None
    #: seconds since its ``timestamp``
    age: float | None = None
    #: plain | compatible | secure
    mode: str | None = None
    #: json | xml
    format: str | None = None
    appid: str | None = None
    #: MsgType, and of an event its name
    event: str | None = None
    trace_id: str | None = None
    #: all fields, as they came
    message: Message | None = None


def arrived(program: MiniProgram | None, method: str, params: Params, body: bytes, now: float) -> Arrival:
    """Read one request. ``program``: the Mini Program that it must fit. ``now``: seconds since the epoch."""
    seen: dict[str, Any] = {"age": _age(params, now)}
    if method == "POST":
        seen |= _shape(body)
    try:
        if program is None:
            raise UnknownAppid("no such Mini Program is set")
        if method != "POST":
            echo = check_url(program, params, now)
            said = "WeChat's check of the push URL"
            return Arrival(Outcome.URL_CHECK, 200, echo, True, said, signature="right", **seen)
        try:
            message = open_push(program, params, body, now)
        except PlainRefused:
            with suppress(Refusal):  # the query is signed, but the request may still be no verdict
                seen |= _content(cleaned_or_other(outline(body)))
            raise
        seen |= _content(message)
        push = normalised_push(message)
    except Refusal as refusal:
        signature = "wrong" if isinstance(refusal, BadSignature) else "right"
        return Arrival(
            refusal.outcome,
            refusal.status,
            refusal.outcome,
            False,
            str(refusal),
            remedy=refusal.remedy,
            signature=None if isinstance(refusal, UnknownAppid) else signature,
            **seen,
        )
    if push is None:
        said = "no verdict of a media check: the endpoint counts and drops it"
        return Arrival(Outcome.NOT_A_VERDICT, 200, "success", True, said, signature="right", **seen)
    return Arrival(Outcome.QUEUED, 200, "success", True, _verdict(push, program.appid), signature="right", **seen)


def _verdict(push: Message, appid: str) -> str:
    from wechat.verdicts import media_verdict
    from wxcheck import MediaUnavailable

    try:
        verdict = media_verdict(push, "image", appid)
    except MediaUnavailable as failure:
        return f"MediaUnavailable: {failure} (version {push['version']})"
    return f"{verdict['suggest']}, label {verdict['label']} (version {verdict['version']})"


def _content(message: Message) -> dict[str, Any]:
    kind, event = message.get("MsgType"), message.get("Event")
    trace_id, appid = message.get("trace_id"), message.get("appid")
    return {
        "message": message,
        "event": " ".join(str(part) for part in (kind, event) if part) or None,
        "trace_id": trace_id if isinstance(trace_id, str) else None,
        "appid": appid if isinstance(appid, str) else None,
    }


def _shape(body: bytes) -> dict[str, str]:
    """Mode and format, which need no key."""
    try:
        outer = outline(body)
    except Refusal:
        return {}
    if "Encrypt" not in outer:
        mode = "plain"
    else:
        mode = "compatible" if set(outer) - {"Encrypt", "ToUserName", "AgentID"} else "secure"
    return {"mode": mode, "format": "json" if body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") else "xml"}


def _age(params: Params, now: float) -> float | None:
    for name, value in params:
        if name == "timestamp" and value.isascii() and value.isdecimal() and len(value) <= 12:
            return round(now - int(value), 3)
    return None


def is_fresh(age: float | None) -> bool:
    """True if the endpoint takes a timestamp of that age."""
    return age is not None and abs(age) <= MAX_SKEW
