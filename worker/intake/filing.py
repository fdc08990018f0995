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

_READERS = {CHECK_TEXT: text_check, CHECK_MEDIA: media_check}


class Push(NamedTuple):
    """A push that the endpoint has verified."""

    appid: str
    trace_id: str
    #: the push itself (JSON)
    text: str
    #: time at which the endpoint took it in
    received_at: float


def entry_of(message: Received, queue: str, settings: Settings, now: float) -> Message | Push:
    """Return what a message of ``queue`` is to be filed as.

    ``now``: seconds since the epoch.

    Raises:
        Unreadable: it has no id, or is a push that is none, and is dropped.
    """
    read(message, queue)
    args, kwargs, _ = message.payload
    task_id, name = message.headers["id"], message.headers["task"]
    if name == RECEIVE_PUSH:
        return _push(args, kwargs)
    appid, cause = settings.default_appid or "", None
    due = time_in(message, "expires")
    why = None if due is None else "expired"
    if name not in _READERS:
        # its task tells the failure
        cause = {"ended": "no_check"}
    else:
        try:
            check = _READERS[name](args, kwargs, settings)
        except InvalidCheck as error:
            cause = {"ended": "invalid", "said": str(error)}
            # it may be anything, as a user's text in the wrong place, and is logged
            named = appid_of(name, args, kwargs, settings.default_appid)
            appid = named if named in settings.programs else ""
        else:
            appid = check.appid
            if check.version != 1 and settings.max_age:
                stale_at = _sent_at(message, now) + settings.max_age
                if due is None or stale_at < due:
                    due, why = stale_at, "stale"
    return Message(
        id=task_id,
        text=keep(message, queue),
        kind=LANE_OF_TASK.get(name) or ("text" if queue == TEXT_QUEUE else "media"),
        appid=appid,
        priority=_priority(message),
        digest=digest_in(message),
        at=time_in(message, "eta"),
        due=due,
        why=why,
        cause=cause,
        spare=f"{task_id}~{uuid.uuid4().hex[:8]}",
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


def _priority(message: Received) -> int:
    """Return 0, the highest, to 9; a message that names none has the highest."""
    said = message.properties.get("priority")
    return min(max(said, 0), 9) if isinstance(said, int) else 0


def _sent_at(message: Received, now: float) -> float:
    """Return the time at which the application has sent a check; noted in the message if the client has not done so."""
    said = message.headers.get(SENT_AT_HEADER)
    if isinstance(said, bool) or not isinstance(said, int | float):
        said = message.headers[SENT_AT_HEADER] = now
    return float(said)
