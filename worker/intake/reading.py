"""The reading of each message as it comes: afterwards it is of Celery's second protocol, and can be run.

* A message of the first protocol (``task_protocol = 1``, clients in other languages) becomes one of the second.
* A message that cannot be read, or is no task of ours, becomes a message of ``wxcheck.refuse`` under the same id, with
  the chord and the errbacks that can be read. It ends as each failure does, so a caller that waits for the id is told.
* A message without an id is dropped.

The last two are counted. Celery would drop both, with an entry in a log.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from celery.app.task import Context
from celery.utils.time import maybe_iso8601
from kombu.exceptions import ContentDisallowed
from kombu.utils import json

from config.logs import Log
from config.names import MAPS, RECEIVE_PUSH, REFUSE
from wxcheck import CHECK_MEDIA, CHECK_TEXT

if TYPE_CHECKING:
    from kombu import Message

log = Log(__name__)

JSON, UTF8 = "application/json", "utf-8"

#: fields that the second protocol has in its headers, and the first in its body
_IN_HEADERS = (
    *("lang", "task", "id", "root_id", "parent_id", "group", "shadow", "eta", "expires", "retries"),
    *("timelimit", "origin", "ignore_result", "group_index"),
)
#: headers that a refused message keeps, to end as a part of its canvas; each with its type
_KEPT: dict[str, type] = {"root_id": str, "parent_id": str, "group": str, "group_index": int, "ignore_result": bool}
#: fields with a task's follow-ups, each with its type
_FOLLOWS: dict[str, type] = {"callbacks": list, "errbacks": list, "chain": list, "chord": dict}
#: headers of the second protocol, each with the type of its values
_HEADERS: dict[str, type] = {
    **dict.fromkeys(("lang", "root_id", "parent_id", "group", "shadow", "origin", "argsrepr", "kwargsrepr"), str),
    **dict.fromkeys(("group_index", "retries", "replaced_task_nesting"), int),
    "ignore_result": bool,
    "timelimit": list,
    "stamped_headers": list,
    "stamps": dict,
    "eta": str,
}
#: names of Celery's own fields of a run: Celery would take a header of that name for the field
_RESERVED = frozenset(name for name in vars(Context) if not name.startswith("_")) - {
    *_IN_HEADERS,
    *_HEADERS,
    "expires",
}

#: names of the tasks that a message may ask for
_TASKS = {CHECK_TEXT, CHECK_MEDIA, RECEIVE_PUSH, *MAPS}
#: form of the name of a task, a content type or a compression
_NAME = re.compile(r"[A-Za-z0-9_./+-]{1,80}")


class Unreadable(Exception):
    """A message that cannot be run, or a push that is none.

    ``why``: kind, for the counters. ``said``: text of its failure, without content.
    """

    def __init__(self, why: str, said: str) -> None:
        super().__init__(why, said)
        self.why = why
        self.said = said


class Read(NamedTuple):
    """The parts of a message. A message that can be run has a list, a dict and a dict after the headers."""

    headers: dict[str, Any]
    args: Any
    kwargs: Any
    #: follow-ups of the task
    embedded: Any


def read(message: Message, queue: str) -> None:
    """Make ``message`` one that can be run.

    Raises:
        Unreadable: it has no id.
    """
    found: Read | None = None
    try:
        found = as_protocol_2(message)
        _examine(found)
    except Unreadable as unreadable:
        _refuse(message, queue, unreadable, found)


def as_protocol_2(message: Message) -> Read:
    """Return the parts of a message. A message of the first protocol is made one of the second.

    Raises:
        Unreadable: the body cannot be decoded, or is of neither protocol.
    """
    body = _decoded(message)
    if not _RESERVED.isdisjoint(message.headers):
        message.headers = {name: value for name, value in message.headers.items() if name not in _RESERVED}
    headers = dict(message.headers)
    if isinstance(body, dict) and "task" in {*body, *headers}:
        # the first protocol, with or without the headers of the second
        headers = {**{name: body[name] for name in _IN_HEADERS if name in body}, **headers}
        headers["group"] = headers.get("group") or body.get("taskset")
        headers["root_id"] = headers.get("root_id") or headers.get("id")
        embedded = {name: body.get(name) for name in _FOLLOWS}
        found = Read(headers, body.get("args") or [], body.get("kwargs") or {}, embedded)
        _rewrite(message, headers, [found.args, found.kwargs, embedded])
        return found
    if not isinstance(body, list | tuple) or len(body) != 3:
        raise Unreadable("body", "its body is none of Celery's protocol 2, nor of protocol 1; send it with Celery")
    args, kwargs, embedded = body
    return Read(headers, args, kwargs, embedded or {})


def _decoded(message: Message) -> Any:
    if (fault := getattr(message, "fault", None)) is not None:
        raise fault
    if message.errors:
        said = f"its compression, {_shown(message.headers.get('compression'))}, cannot be undone here; send it without"
        raise Unreadable("compression", f'{said}, or with compression="gzip"')
    try:
        return message.decode()
    except ContentDisallowed:
        said = f"its content type is {_shown(message.content_type)}, and only {JSON} is read; send it with"
        raise Unreadable("content_type", f'{said} serializer="json"') from None
    except Exception as error:  # noqa: BLE001 - decoders have errors of their own; the text could quote the message
        raise Unreadable("body", f"its body is no JSON ({type(error).__name__}); send it with Celery") from None


def _examine(found: Read) -> None:
    """Raise Unreadable if Celery would drop the message, or if the message would end the worker."""
    headers, args, kwargs, embedded = found
    name = headers.get("task")
    if not isinstance(name, str) or name not in _TASKS:
        said = f"its task, {_shown(name)}, is none of wxcheck's; there are {CHECK_TEXT} and {CHECK_MEDIA}"
        raise Unreadable("task", f"{said}; a task of the application's needs a queue of its own")
    if not isinstance(headers.get("id"), str) or not headers["id"]:
        raise Unreadable("no_id", "it has no task id")
    if not isinstance(args, list | tuple) or not isinstance(kwargs, dict) or not isinstance(embedded, dict):
        said = "its arguments are none of Celery's protocol 2, nor of protocol 1"
        raise Unreadable("body", f"{said}; args is a list, kwargs an object")
    for follows in _FOLLOWS:
        if not _is_followed_by(embedded.get(follows), follows):
            raise Unreadable("body", f"its {follows} is none of Celery's; send it with Celery")
    for header, kind in _HEADERS.items():
        value = headers.get(header)
        if value is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
            raise Unreadable("headers", f"its {header} is a {type(value).__name__}, where Celery has {kind.__name__}")
    for header in ("eta", "expires"):
        try:
            right = headers.get(header) is None or isinstance(maybe_iso8601(headers[header]), datetime)
        except (TypeError, ValueError, AttributeError):
            right = False
        if not right:
            raise Unreadable("headers", f"its {header} is no time in ISO 8601")
    if (headers.get("retries") or 0) < 0:
        raise Unreadable("headers", "its retries is less than 0")
    limit = headers.get("timelimit")
    if limit and not (len(limit) == 2 and all(map(_is_limit, limit))):
        raise Unreadable("headers", "its timelimit is no pair of seconds")
    if not all(isinstance(stamp, str) for stamp in headers.get("stamped_headers") or ()):
        raise Unreadable("headers", "its stamped_headers are no names")


def _is_followed_by(value: Any, name: str) -> bool:
    """True if ``value`` is a possible value of the field ``name``: signatures, one signature, or nothing."""
    if not value:
        return True
    several = value if isinstance(value, list) else [value]
    right = isinstance(value, _FOLLOWS[name])
    return right and all(isinstance(one, dict) and isinstance(one.get("task"), str) for one in several)


def _is_limit(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value >= 0)


def _refuse(message: Message, queue: str, unreadable: Unreadable, found: Read | None) -> None:
    """Make ``message`` one that fails under its id."""
    headers = found.headers if found is not None else message.headers
    task_id = headers.get("id") or message.properties.get("correlation_id")
    if not isinstance(task_id, str) or not task_id:
        raise Unreadable("no_id", f"it has no task id, and {unreadable.said}")
    log.warning("message_refused", unreadable.said, queue=queue, task_id=task_id)
    kept = {name: headers[name] for name, kind in _KEPT.items() if isinstance(headers.get(name), kind)}
    follows = found.embedded if found is not None and isinstance(found.embedded, dict) else {}
    embedded = {name: follows[name] for name, kind in _FOLLOWS.items() if isinstance(follows.get(name), kind)}
    shadow = headers.get("task")
    shadow = shadow if shadow in (CHECK_TEXT, CHECK_MEDIA) else None
    anew = {**kept, "lang": "py", "task": REFUSE, "id": task_id, "shadow": shadow, "retries": 0}
    _rewrite(message, anew, [[f"message: {unreadable.said}", queue, unreadable.why], {}, embedded])


def _rewrite(message: Message, headers: dict[str, Any], body: list[Any]) -> None:
    message.headers, message.body = headers, json.dumps(body)
    message.content_type, message.content_encoding = JSON, UTF8
    message.errors = []
    message._decoded_cache = body


def _shown(value: object) -> str:
    """Return a name in a form that a failure may show: a client that mixes things up may put content there."""
    if isinstance(value, str) and _NAME.fullmatch(value):
        return repr(value)
    return f"a name of {len(value)} characters" if isinstance(value, str) else f"a {type(value).__name__}"
