"""What a message of the inbox is: a check, whose place is found by its arguments, or a push."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from config.lanes import LANE_OF_TASK
from config.names import RECEIVE_PUSH
from store.places.forms import Message
from wechat.checks import media_check, text_check
from worker.intake.reading import Unreadable, read
from worker.messages import appid_of, digest_in, keep, time_in
from wxcheck import CHECK_MEDIA, CHECK_TEXT, SENT_AT_HEADER, TEXT_QUEUE, InvalidCheck

if TYPE_CHECKING:
    from kombu import Message as Received

    from config.settings import Settings

#: of a check that waits for no permit because its run tells at once how it ends: its arguments are wrong, with the
#: failure's text; or it is no check at all, and its task says so
INVALID, NO_CHECK = "invalid", "no_check"
#: why a check is not sent any more after some time
STALE, EXPIRED = "stale", "expired"

#: priority of a message that names none, and the lowest one
HIGHEST, LOWEST = 0, 9

_READERS = {CHECK_TEXT: text_check, CHECK_MEDIA: media_check}


class Push(NamedTuple):
    """A push that the endpoint has verified."""

    appid: str
    trace_id: str
    #: the push itself (JSON)
    text: str
    #: time at which the endpoint took it in
    received_at: float


def entry_of(message: Received, queue: str, settings: Settings, now: float) -> Message | Push | None:
    """Return what a message of ``queue`` is to be filed as; None if it is dropped, since it has no id.

    ``now``: seconds since the epoch.

    Raises:
        Unreadable: it is a push that is none, and is dropped.
    """
    if not read(message, queue):
        return None
    args, kwargs, _ = message.payload
    name = message.headers["task"]
    if name == RECEIVE_PUSH:
        return _push(args, kwargs)
    if name not in _READERS:
        return _no_check(message, queue, settings)
    cause = None
    due = time_in(message, "expires")
    why = None if due is None else EXPIRED
    try:
        check = _READERS[name](args, kwargs, settings)
    except InvalidCheck as error:
        cause = {"ended": INVALID, "said": str(error)}
        appid = appid_of(message, settings.default_appid) or ""
        if appid not in settings.programs:
            # it may be anything, as a user's text in the wrong place, and is logged
            appid = ""
    else:
        appid = check.appid
        if check.version != 1 and settings.max_age:
            stale_at = _sent_at(message, now) + settings.max_age
            if due is None or stale_at < due:
                due, why = stale_at, STALE
    return Message(
        id=message.headers["id"],
        text=keep(message, queue),
        kind=LANE_OF_TASK[name],
        appid=appid,
        priority=_priority(message),
        digest=digest_in(message),
        at=time_in(message, "eta"),
        due=due,
        why=why,
        cause=cause,
        spare=_spare(message),
    )


def _no_check(message: Received, queue: str, settings: Settings) -> Message:
    return Message(
        id=message.headers["id"],
        text=keep(message, queue),
        kind="text" if queue == TEXT_QUEUE else "media",
        appid=settings.default_appid or "",
        priority=_priority(message),
        digest=digest_in(message),
        cause={"ended": NO_CHECK},
        spare=_spare(message),
    )


def _push(args: Any, kwargs: Any) -> Push:
    try:
        appid, push, received_at = (kwargs[name] for name in ("appid", "push", "received_at"))
        trace_id = push["trace_id"]
    except (KeyError, TypeError):
        raise Unreadable(
            "body", f"a push with {len(args)} positional arguments, and not as the endpoint sends it"
        ) from None
    if not (isinstance(appid, str) and isinstance(trace_id, str) and trace_id and isinstance(received_at, int | float)):
        raise Unreadable("body", "a push whose appId, trace_id or time is none")
    return Push(appid, trace_id, json.dumps(push, separators=(",", ":")), float(received_at))


def _spare(message: Received) -> str:
    return f"{message.headers['id']}~{uuid.uuid4().hex[:8]}"


def _priority(message: Received) -> int:
    said = message.properties.get("priority")
    return min(max(said, HIGHEST), LOWEST) if isinstance(said, int) else HIGHEST


def _sent_at(message: Received, now: float) -> float:
    """Return the time at which the application has sent a check; noted in the message if the client has not done so."""
    said = message.headers.get(SENT_AT_HEADER)
    if isinstance(said, bool) or not isinstance(said, int | float):
        said = message.headers[SENT_AT_HEADER] = now
    return float(said)
