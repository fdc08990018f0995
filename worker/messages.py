"""Messages that go on later. The *rest* of a message is everything that it says except its task and arguments.

A later run ends the work of the first run under the same task id, with its chain, links, chord, group, stamps and
headers: ``Task.replace()``, split in time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from celery.app.task import Context
from kombu.utils import json

from config.celery import queue_named
from config.names import FINISH, PUSH_QUEUE
from store.outbox.outbox import set_aside
from store.parked.parked import Kept
from store.records.digest import digest_of
from wxcheck import CHECK_MEDIA, CHECK_TEXT, MEDIA_QUEUE, SENT_AT_HEADER

if TYPE_CHECKING:
    from celery import Celery, Task
    from kombu import Message

#: keeps a message's arguments out of events, logs and Flower
HIDDEN = {"argsrepr": "(…)", "kwargsrepr": "{…}"}

#: bounds of the first run, which the next run does not have
OF_THIS_RUN = ("expires", "time_limit", "soft_time_limit")

#: position of the appId among the positional arguments of a check (:mod:`wechat.checks`)
APPID_POSITION = {CHECK_TEXT: 6, CHECK_MEDIA: 4}

#: properties that go along if a received message is published again
_PROPERTIES = ("correlation_id", "reply_to", "priority", "delivery_mode")
#: headers that do not go along: the body is no longer compressed, the countdown has run out
_OF_ITS_WAY = ("compression", "redelivered", "eta")
#: of a message that was delivered before, and then published anew
COMES_AGAIN_HEADER = "wxcheck_comes_again"


def rest_of(request: Context) -> dict[str, Any]:
    """Return the rest of the message behind ``request``, as JSON values."""
    rest: dict[str, Any] = request.as_execution_options()
    rest["ignore_result"] = bool(request.ignore_result)
    rest["priority"] = (request.delivery_info or {}).get("priority")
    return rest


def without_this_run(rest: dict[str, Any]) -> dict[str, Any]:
    """Return ``rest`` without the bounds that the sender set for the first run only."""
    return {name: value for name, value in rest.items() if name not in OF_THIS_RUN}


class KeptMessage(NamedTuple):
    """A :class:`Kept`, decoded."""

    #: the rest of the check's message
    rest: dict[str, Any]
    #: picture or sound: the finish needs the kind, and the push does not tell it
    kind: str
    #: positional and keyword arguments of the check; None if it cannot be replayed
    arguments: tuple[list[Any], dict[str, Any]] | None


def keep_message(task: Task, appid: str, trace_id: str, kind: str, *, with_arguments: bool) -> Kept:
    """Return the form in which the media check that ``task`` runs is kept until its push comes.

    If the store's Redis is the broker, the form is the message of the finish, which Celery makes now: the step that
    ends the wait publishes that message, too.
    """
    request = task.request
    rest = without_this_run(rest_of(request))
    # the finish is shown under the check's name
    rest.update(retries=0, shadow=task.name)
    rest = {name: value for name, value in rest.items() if value is not None}
    # a finish spends no quota, so it waits for nobody: the list of the first priority wakes workers at once
    priority = rest.pop("priority", None)
    again = (
        json.dumps([request.args or (), request.kwargs or {}, priority], separators=(",", ":"))
        if with_arguments
        else ""
    )
    if task.app.conf.broker_transport_options.get("commits_ends"):
        with set_aside() as published:
            publish(task.app, FINISH, PUSH_QUEUE, rest, kwargs=arguments_of_finish(appid, trace_id, kind))
        _, message = published
        return Kept(message, again, is_message=True)
    return Kept(json.dumps({**rest, "kind": kind}), again)


def arguments_of_finish(appid: str, trace_id: str, kind: str) -> dict[str, Any]:
    """Return the keyword arguments of ``wxcheck.finish``."""
    return {"appid": appid, "trace_id": trace_id, "kind": kind}


def decode_kept(kept: Kept) -> KeptMessage:
    """Decode the form that :func:`keep_message` has made."""
    message: dict[str, Any] = json.loads(kept.text)
    again = json.loads(kept.arguments) if kept.arguments else None
    if kept.is_message:
        (_, kwargs, embedded), properties = json.loads(message["body"]), message["properties"]
        said = {name: properties[name] for name in ("correlation_id", "reply_to") if name in properties}
        rest, kind = rest_of(Context(message["headers"], **embedded, **said)), kwargs["kind"]
    else:
        rest, kind = message, message.pop("kind")
    if again is not None:
        rest["priority"] = again[2]
    return KeptMessage(rest, kind, (again[0], again[1]) if again is not None else None)


def unfinished_message(kept: Kept) -> dict[str, Any]:
    """Return the message of a media check for :func:`publish_again`; only its name if its arguments were not kept."""
    decoded = decode_kept(kept)
    if decoded.arguments is None:
        return {"name": CHECK_MEDIA}
    args, kwargs = decoded.arguments
    rest = {name: value for name, value in decoded.rest.items() if name != "shadow"}
    return {"name": CHECK_MEDIA, "queue": MEDIA_QUEUE, "rest": rest, "args": args, "kwargs": kwargs}


def message_of(task: Task, sent_at: float, retries: int) -> dict[str, Any]:
    """Return the message that ``task`` runs, for :func:`publish_again`.

    ``sent_at``: seconds since the epoch, used if the sender gave no such time. ``retries``: those of the next run.
    """
    rest = rest_of(task.request)
    rest["retries"] = retries
    rest["headers"].setdefault(SENT_AT_HEADER, sent_at)
    return {
        "name": task.name,
        "queue": task.app.conf.task_routes[task.name]["queue"],
        "rest": rest,
        "args": list(task.request.args or ()),
        "kwargs": dict(task.request.kwargs or {}),
    }


def time_in(message: Message, header: Literal["eta", "expires"]) -> float | None:
    """Return the time that a header says, in seconds since the epoch; None if it says none that can be read."""
    said = (message.headers or {}).get(header)
    if not isinstance(said, str):
        return None
    try:
        at = datetime.fromisoformat(said)
    except ValueError:
        return None  # no time for Python: Celery judges the message
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def appid_of(message: Message, default: str | None) -> str | None:
    """Return the appId of a check, or ``default`` if the message names none or cannot be read."""
    try:
        args, kwargs = message.payload[:2]
        appid = kwargs.get("appid")
        position = APPID_POSITION[message.headers["task"]]
        if appid is None and len(args) > position:
            appid = args[position]
    except Exception:  # noqa: BLE001 - kombu's JSON makes objects of some texts; the task fails by name
        return default
    return appid if isinstance(appid, str) else default


def digest_in(message: Message) -> str:
    """Return the digest of the check in a message; '' if the message cannot be read."""
    try:
        args, kwargs = message.payload[:2]
        return digest_of(message.headers["task"], args, kwargs)
    except Exception:  # noqa: BLE001 - as above
        return ""


def raw_message(message: Message, queue: str) -> dict[str, Any]:
    """Return a received message for :func:`publish_again`, to be published on ``queue``.

    What is published anew is not redelivered to its broker, so a header tells that the message comes again.
    """
    comes_again = bool((message.delivery_info or {}).get("redelivered"))
    return {
        "queue": queue,
        "body": message.body if isinstance(message.body, str) else bytes(message.body).decode("utf-8"),
        "headers": {
            **{name: value for name, value in message.headers.items() if name not in _OF_ITS_WAY},
            **({COMES_AGAIN_HEADER: True} if comes_again else {}),
        },
        "properties": {name: message.properties[name] for name in _PROPERTIES if name in message.properties},
        "content_type": message.content_type,
        "content_encoding": message.content_encoding,
    }


def publish_again(app: Celery, message: dict[str, Any]) -> None:
    """Put a message back on its queue, with no attempt lost. Raises as :func:`publish` does."""
    if "body" in message:
        _publish_raw(app, message)
        return
    publish(app, message["name"], message["queue"], message["rest"], message["args"], message["kwargs"])


def _publish_raw(app: Celery, message: dict[str, Any]) -> None:
    queue = queue_named(message["queue"])
    with app.producer_or_acquire() as producer:
        producer.publish(
            message["body"],
            exchange=queue.exchange,
            routing_key=queue.routing_key,
            declare=[queue],
            headers=message["headers"],
            content_type=message["content_type"],
            content_encoding=message["content_encoding"],
            **message["properties"],
        )


def publish(app: Celery, name: str, queue: str, rest: dict[str, Any], args: Any = (), kwargs: Any = None) -> None:
    """Publish task ``name`` as the continuation of the message with ``rest``.

    ``apply_async`` would not do: within a task it makes that task the parent of the message.

    Raises:
        kombu.exceptions.OperationalError: the broker does not take the message.
    """
    options = dict(rest)
    headers = options.pop("headers", None)
    priority = options.pop("priority", None)
    message = app.amqp.create_task_message(
        options.pop("task_id"),
        name,
        args,
        kwargs or {},
        callbacks=options.pop("link", None),
        errbacks=options.pop("link_error", None),
        **HIDDEN,
        **options,
    )
    # the message may lie in the store for long: empty headers only take room, and Celery reads the same without
    for header in [header for header, value in message.headers.items() if _says_nothing(header, value)]:
        del message.headers[header]
    with app.producer_or_acquire() as producer:
        app.amqp.send_task_message(producer, name, message, queue=queue, headers=headers, priority=priority)


def _says_nothing(header: str, value: Any) -> bool:
    return value in (None, {}, [None, None], (None, None)) or (header == "replaced_task_nesting" and value == 0)
