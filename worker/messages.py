"""Continues a task's message later: the *rest* of a message is all that Celery knows of it but what it does.

Under the same task id, with its chain, links, chord, group, stamps and headers, another run ends what the first one
began: what ``Task.replace()`` does at once, split in time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.utils import json

from wxcheck import SENT_AT_HEADER

if TYPE_CHECKING:
    from celery import Celery, Task
    from celery.app.task import Context

#: nothing of a message's arguments is shown in events, logs and Flower
HIDDEN = {"argsrepr": "(…)", "kwargsrepr": "{…}"}

#: of the run that was, not of the one to come
_OF_THIS_RUN = ("expires", "time_limit", "soft_time_limit")


def rest_of(request: Context) -> dict[str, Any]:
    """The rest of the message behind ``request``, as JSON values."""
    rest: dict[str, Any] = request.as_execution_options()
    rest["ignore_result"] = bool(request.ignore_result)
    rest["priority"] = (request.delivery_info or {}).get("priority")
    return rest


def encode_rest(request: Context, shadow: str, kind: str) -> str:
    """JSON: the rest of a media check's message for its finish, which is shown under the name ``shadow``.

    ``kind`` rides along: the finish needs it, and the push does not say it.
    """
    rest = {name: value for name, value in rest_of(request).items() if name not in _OF_THIS_RUN}
    rest.update(retries=0, shadow=shadow, kind=kind)
    encoded: str = json.dumps({name: value for name, value in rest.items() if value is not None})
    return encoded


def decode_rest(encoded: str) -> tuple[dict[str, Any], str]:
    """The rest of a media check's message, and the kind of the check."""
    rest: dict[str, Any] = json.loads(encoded)
    return rest, rest.pop("kind")


def message_of(task: Task, sent_at: float) -> dict[str, Any]:
    """The message that ``task`` runs, to be published again by :func:`publish_again`.

    ``sent_at`` (since the epoch) is noted as its age where its sender did not say any.
    """
    rest = rest_of(task.request)
    rest["headers"].setdefault(SENT_AT_HEADER, sent_at)
    return {
        "name": task.name,
        "queue": task.app.conf.task_routes[task.name]["queue"],
        "rest": rest,
        "args": list(task.request.args or ()),
        "kwargs": dict(task.request.kwargs or {}),
    }


def publish_again(app: Celery, message: dict[str, Any]) -> None:
    """Puts a message back on its queue, with no attempt lost; raises as :func:`publish` does."""
    publish(app, message["name"], message["queue"], message["rest"], message["args"], message["kwargs"])


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
