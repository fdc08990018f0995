"""Continues a task's message later: the *rest* of a message is all that Celery knows of it but what it does.

Under the same task id, with its chain, links, chord, group, stamps and headers, another run ends what the first one
began: what ``Task.replace()`` does at once, split in time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

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

#: nothing of a message's arguments is shown in events, logs and Flower
HIDDEN = {"argsrepr": "(…)", "kwargsrepr": "{…}"}

#: of the run that was, not of the one to come
OF_THIS_RUN = ("expires", "time_limit", "soft_time_limit")

#: where a check has its appId that names none of its arguments (:mod:`wechat.checks`)
APPID_POSITION = {CHECK_TEXT: 6, CHECK_MEDIA: 4}

#: what is published anew with a message as it was received ...
_PROPERTIES = ("correlation_id", "reply_to", "priority", "delivery_mode")
#: ... and what was said of its way, or is over: a body is no longer compressed, a countdown has run out
_OF_ITS_WAY = ("compression", "redelivered", "eta")


def rest_of(request: Context) -> dict[str, Any]:
    """The rest of the message behind ``request``, as JSON values."""
    rest: dict[str, Any] = request.as_execution_options()
    rest["ignore_result"] = bool(request.ignore_result)
    rest["priority"] = (request.delivery_info or {}).get("priority")
    return rest


def without_this_run(rest: dict[str, Any]) -> dict[str, Any]:
    """``rest`` without the bounds that its sender gave to the first run only."""
    return {name: value for name, value in rest.items() if name not in OF_THIS_RUN}


class KeptMessage(NamedTuple):
    """What :class:`Kept` says."""

    #: the rest of the check's message
    rest: dict[str, Any]
    #: what was checked: the finish needs it, and the push does not say it
    kind: str
    #: positional and keyword arguments of the check, where it may be replayed
    arguments: tuple[list[Any], dict[str, Any]] | None


def keep_message(task: Task, appid: str, trace_id: str, kind: str, *, with_arguments: bool) -> Kept:
    """What is to be kept of the media check that ``task`` runs.

    Where the store's Redis is the broker, that is its finish, ready to go on its queue: made now by Celery itself, it
    is published later in the same step that sees that its time has come.
    """
    request = task.request
    rest = without_this_run(rest_of(request))
    # the finish is shown under the check's name
    rest.update(retries=0, shadow=task.name)
    rest = {name: value for name, value in rest.items() if value is not None}
    # its call is spent, so what is left to do waits for nobody: the list of the first priority wakes workers at once
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
    """The keyword arguments of ``wxcheck.finish``."""
    return {"appid": appid, "trace_id": trace_id, "kind": kind}


def decode_kept(kept: Kept) -> KeptMessage:
    """What :func:`keep_message` made."""
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
    """The message of a media check, to be published again; only its name where its arguments were not kept."""
    half = decode_kept(kept)
    if half.arguments is None:
        return {"name": CHECK_MEDIA}
    args, kwargs = half.arguments
    rest = {name: value for name, value in half.rest.items() if name != "shadow"}
    return {"name": CHECK_MEDIA, "queue": MEDIA_QUEUE, "rest": rest, "args": args, "kwargs": kwargs}


def message_of(task: Task, sent_at: float, retries: int) -> dict[str, Any]:
    """The message that ``task`` runs, to be published again by :func:`publish_again`.

    ``sent_at`` (since the epoch) is noted as its age where its sender did not say any; ``retries``: of the next run.
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


def eta_of(message: Message) -> float | None:
    """When a message that was sent with a countdown is due, in seconds since the epoch."""
    eta = (message.headers or {}).get("eta")
    if not isinstance(eta, str):
        return None
    try:
        at = datetime.fromisoformat(eta)
    except ValueError:
        return None  # Celery says what is wrong with it
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def appid_of(message: Message, default: str | None) -> str | None:
    """The appId that a check is for, as far as its message can be read."""
    try:
        args, kwargs = message.payload[:2]
        appid = kwargs.get("appid")
        position = APPID_POSITION[message.headers["task"]]
        if appid is None and len(args) > position:
            appid = args[position]
    except Exception:  # noqa: BLE001 - kombu's JSON makes objects of some texts; the task says what is wrong with it
        return default
    return appid if isinstance(appid, str) else default


def digest_in(message: Message) -> str:
    """What the check of a message is known again by; '' where it cannot be read."""
    try:
        args, kwargs = message.payload[:2]
        return digest_of(message.headers["task"], args, kwargs)
    except Exception:  # noqa: BLE001 - as above
        return ""


def raw_message(message: Message, queue: str) -> dict[str, Any]:
    """A message as it was received, to be published on ``queue`` by :func:`publish_again`."""
    return {
        "queue": queue,
        "body": message.body if isinstance(message.body, str) else bytes(message.body).decode("utf-8"),
        "headers": {name: value for name, value in message.headers.items() if name not in _OF_ITS_WAY},
        "properties": {name: message.properties[name] for name in _PROPERTIES if name in message.properties},
        "content_type": message.content_type,
        "content_encoding": message.content_encoding,
    }


def publish_again(app: Celery, message: dict[str, Any]) -> None:
    """Puts a message back on its queue, with no attempt lost; raises as :func:`publish` does."""
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
    """Publishes task ``name`` as the continuation of the message that ``rest`` is of.

    The message is built here, not by ``apply_async``, which inside of a task would make that task its parent.

    Raises:
        kombu.exceptions.OperationalError: the broker did not take it.
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
    # it may wait in the store for long, so what says nothing is left out: to Celery that is the same
    for header in [header for header, value in message.headers.items() if _says_nothing(header, value)]:
        del message.headers[header]
    with app.producer_or_acquire() as producer:
        app.amqp.send_task_message(producer, name, message, queue=queue, headers=headers, priority=priority)


def _says_nothing(header: str, value: Any) -> bool:
    return value in (None, {}, [None, None], (None, None)) or (header == "replaced_task_nesting" and value == 0)
