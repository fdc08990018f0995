"""Messages of checks: what is read in them, and the form in which the store keeps them (JSON).

A kept message: queue, body (JSON), headers, properties, content_type, content_encoding.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC
from typing import TYPE_CHECKING, Any, Literal

from celery.utils.time import maybe_iso8601
from kombu import Message
from kombu.utils import json

from wxcheck import CHECK_MEDIA, CHECK_TEXT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: keeps a message's arguments out of events, logs and Flower
HIDDEN = {"argsrepr": "(…)", "kwargsrepr": "{…}"}

#: position of the appId among the positional arguments of a check (:mod:`wechat.checks`)
APPID_POSITION = {CHECK_TEXT: 6, CHECK_MEDIA: 4}

#: bytes of a digest; few, since each waiting check has one in the store, and it tells apart only checks of one task id
DIGEST_SIZE = 6

#: properties of a message that are kept
_PROPERTIES = ("correlation_id", "reply_to", "priority", "delivery_mode")
#: headers that are not kept: the body is no longer compressed, the countdown is the shelf's
_OF_ITS_WAY = ("compression", "redelivered", "eta")
#: header of a message whose call was refused for its signature, and which waits for a new one
RENEWED_HEADER = "wxcheck_renewed"


def time_in(message: Message, header: Literal["eta", "expires"]) -> float | None:
    """Return the time that a header says, in seconds since the epoch; None if it says none."""
    at = maybe_iso8601(message.headers.get(header))
    return None if at is None else (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def appid_of(task: str, args: Sequence[Any], kwargs: Mapping[str, Any], default: str | None) -> str | None:
    """Return the appId that the arguments of a check name, or ``default``."""
    appid, position = kwargs.get("appid"), APPID_POSITION[task]
    if appid is None and len(args) > position:
        appid = args[position]
    return appid if isinstance(appid, str) else default


def digest_of(task: str, args: Any, kwargs: Any) -> str:
    """Return eight characters for the task and its arguments, however their message is encoded."""
    said = json.dumps([task, args, kwargs], sort_keys=True, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.blake2b(said.encode(), digest_size=DIGEST_SIZE).digest()).decode()


def digest_in(message: Message) -> str:
    """Return the digest of the check in a message; '' if the message cannot be read."""
    try:
        args, kwargs = message.payload[:2]
        return digest_of(message.headers["task"], args, kwargs)
    except Exception:  # noqa: BLE001 - kombu's JSON makes objects of some texts; the task fails by name
        return ""


def keep(message: Message, queue: str) -> str:
    """Return the form in which a message of ``queue`` is kept."""
    kept = {
        "queue": queue,
        "body": message.body if isinstance(message.body, str) else bytes(message.body).decode("utf-8"),
        "headers": {name: value for name, value in message.headers.items() if name not in _OF_ITS_WAY},
        "properties": {name: message.properties[name] for name in _PROPERTIES if name in message.properties},
        "content_type": message.content_type,
        "content_encoding": message.content_encoding,
    }
    return str(json.dumps(kept, separators=(",", ":")))


def message_of(kept: dict[str, Any], **more: Any) -> Message:
    """Return a kept message as kombu's. ``more``: further arguments of its making."""
    made = {name: kept[name] for name in ("body", "headers", "properties", "content_type", "content_encoding")}
    return Message(**made, accept={kept["content_type"]}, **more)


def with_retries(text: str, retries: int) -> str:
    """Return a kept message for its next attempt, before which it was tried ``retries`` times."""
    return _with_headers(text, retries=retries)


def renewed(text: str) -> str | None:
    """Return a kept message that waits for a new signature; None if it has done so before."""
    headers: dict[str, Any] = json.loads(text)["headers"]
    return None if headers.get(RENEWED_HEADER) else _with_headers(text, **{RENEWED_HEADER: True})


def _with_headers(text: str, **headers: Any) -> str:
    kept = json.loads(text)
    kept["headers"].update(headers)
    return str(json.dumps(kept, separators=(",", ":")))
