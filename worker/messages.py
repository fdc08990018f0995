"""Continues a task's message later: the *rest* of a message is all that Celery knows of it but what it does.

Under the same task id, with its chain, links, chord, group, stamps and headers, another run ends what the first one
began: what ``Task.replace()`` does at once, split in time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu.utils import json

from config.celery import queue_named
from wxcheck import CHECK_MEDIA, CHECK_TEXT, MEDIA_QUEUE, SENT_AT_HEADER

if TYPE_CHECKING:
    from celery import Celery, Task
    from celery.app.task import Context
    from kombu import Message

#: nothing of a message's arguments is shown in events, logs and Flower
HIDDEN = {"argsrepr": "(…)", "kwargsrepr": "{…}"}

#: of the run that was, not of the one to come
OF_THIS_RUN = ("expires", "time_limit", "soft_time_limit")

#: where a check has its appId that names none of its arguments (:mod:`worker.checks`)
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


class HalfDone(NamedTuple):
    """What is kept of a media check whose call is over, until its push comes."""

    #: the rest of its message, for its finish
    rest: dict[str, Any]
    #: what was checked: the finish needs it, and the push does not say it
    kind: str
    #: positional and keyword arguments of the check, where it may be replayed
    arguments: tuple[list[Any], dict[str, Any]] | None


def encode_rest(request: Context, shadow: str, kind: str, *, with_arguments: bool) -> str:
    """JSON: the rest of a media check's message for its finish, which is shown under the name ``shadow``."""
    rest = {name: value for name, value in rest_of(request).items() if name not in OF_THIS_RUN}
    rest.update(retries=0, shadow=shadow, kind=kind)
    if with_arguments:
        rest["arguments"] = [request.args or (), request.kwargs or {}]
    encoded: str = json.dumps({name: value for name, value in rest.items() if value is not None})
    return encoded


def decode_rest(encoded: str) -> HalfDone:
    """What :func:`encode_rest` made."""
    rest: dict[str, Any] = json.loads(encoded)
    return HalfDone(rest, kind=rest.pop("kind"), arguments=rest.pop("arguments", None))


def unfinished_message(encoded: str) -> dict[str, Any]:
    """The message of a media check, to be published again, from what :func:`encode_rest` made; only its name where
    that has no arguments."""
    half = decode_rest(encoded)
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
        args, kwargs = json.loads(message.body)[:2]
        appid = kwargs.get("appid")
        position = APPID_POSITION[message.headers["task"]]
        if appid is None and len(args) > position:
            appid = args[position]
    except Exception:  # noqa: BLE001 - kombu's JSON makes objects of some texts; the task says what is wrong with it
        return default
    return appid if isinstance(appid, str) else default


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
    with app.producer_or_acquire() as producer:
        app.amqp.send_task_message(producer, name, message, queue=queue, headers=headers, priority=priority)
