"""Messages that are published later: the arguments of a publication, as JSON values.

A publication: body (text, or base64 where ``encoding`` is), content_type, content_encoding, exchange, routing_key,
declare (names of queues), headers, properties; and, if any, compression and delivery_mode.
"""

from __future__ import annotations

import base64
from functools import cached_property
from typing import TYPE_CHECKING, Any

from celery.app.amqp import AMQP
from kombu import serialization as serializers
from kombu.compression import get_encoder

from store.outbox.outbox import set_aside
from worker.ending.left import kept_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery
    from kombu import Producer

#: arguments of kombu's ``publish`` that are about trying again, and do not outlive the run
_OF_THE_CALL = ("retry", "retry_policy", "timeout", "confirm_timeout")


class KeepingAMQP(AMQP):  # type: ignore[misc]  # Celery ships no types
    """Celery's AMQP, whose messages a run may keep (:func:`worker.ending.left.keeping`)."""

    @cached_property
    def send_task_message(self) -> Callable[..., Any]:
        send: Callable[..., Any] = super().send_task_message

        def sent(producer: Producer, name: str, message: Any, **options: Any) -> Any:
            left = kept_by()
            if left is None:
                return send(producer, name, message, **options)
            return send(_Keeper(producer, left.publications), name, message, **options)

        return sent


class _Keeper:
    """A producer that keeps its publications."""

    def __init__(self, producer: Producer, publications: list[dict[str, Any]]) -> None:
        self.connection = producer.connection
        self._publications = publications

    def publish(self, body: Any, **options: Any) -> None:
        self._publications.append(publication(body, **options))

    def revive(self, channel: Any) -> None:
        """Do nothing: nothing is connected."""


def publication(
    body: Any,
    *,
    exchange: Any = "",
    routing_key: str | None = None,
    serializer: str | None = None,
    declare: Any = None,
    headers: dict[str, Any] | None = None,
    compression: str | None = None,
    delivery_mode: Any = None,
    **properties: Any,
) -> dict[str, Any]:
    """Return the publication that has the arguments of kombu's ``Producer.publish``.

    Raises:
        kombu.exceptions.EncodeError: the body cannot be written by ``serializer``.
        KeyError: there is no such ``compression``.
    """
    if compression:
        get_encoder(compression)
    content_type, content_encoding, data = serializers.dumps(body, serializer=serializer)
    told = {
        "content_type": content_type,
        "content_encoding": content_encoding,
        "exchange": getattr(exchange, "name", exchange) or "",
        "routing_key": routing_key,
        "headers": headers or {},
        "properties": {name: value for name, value in properties.items() if name not in _OF_THE_CALL},
        "declare": [queue.name for queue in declare or ()],
        "compression": compression,
        "delivery_mode": delivery_mode,
    }
    if isinstance(data, str):
        told["body"] = data
    else:
        told.update(body=base64.b64encode(data).decode(), encoding="base64")
    return {name: value for name, value in told.items() if value not in (None, [], {})}


def publish(app: Celery, producer: Producer, kept: dict[str, Any], **options: Any) -> None:
    """Publish a publication. ``options``: of kombu's ``Producer.publish``, about trying again.

    Raises:
        kombu.exceptions.OperationalError, or an error of the transport: the broker does not take it.
    """
    body = base64.b64decode(kept["body"]) if "encoding" in kept else kept["body"]
    producer.publish(
        body,
        content_type=kept["content_type"],
        content_encoding=kept["content_encoding"],
        exchange=kept.get("exchange", ""),
        routing_key=kept.get("routing_key"),
        headers=dict(kept.get("headers", {})),
        declare=[app.amqp.queues[name] for name in kept.get("declare", ())],
        compression=kept.get("compression"),
        delivery_mode=kept.get("delivery_mode"),
        **kept.get("properties", {}),
        **options,
    )


def rendered(app: Celery, publications: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return list and message of each publication, as kombu puts them into the broker's Redis."""
    if not publications:
        return []
    with set_aside() as kept, app.producer_or_acquire() as producer:
        for one in publications:
            publish(app, producer, one)
    return kept
