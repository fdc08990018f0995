"""The message of ``wxcheck.receive_push`` as it lies in Redis: made once by Celery and kombu, then filled in.

Most of the cost of ``send_task`` is in parts that are the same for every push: options, headers, properties and kombu's
envelope. So Celery makes one message without a push, which is caught before it leaves. The caught text is cut at the
parts that differ from push to push: the task's id, its arguments and the delivery tag.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from kombu.utils.json import dumps, loads

from config.names import PUSH_QUEUE, RECEIVE_PUSH
from store.outbox.outbox import set_aside

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Producer

#: options of a push's message, for either writer; events, logs and Flower show nothing of its arguments
OPTIONS = {
    "queue": PUSH_QUEUE,
    "retry": False,
    "ignore_result": True,
    "argsrepr": "(…)",
    "kwargsrepr": "{…}",
}

#: marks in the place of a push's own parts: no message holds such a text, nor its form in JSON
_ID, _BODY, _TAG = "\x01id\x01", "\x01body\x01", "\x01tag\x01"
_ESCAPED = "\\u0001"

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Template:
    """Fills in the messages of pushes.

    Args:
        app: the Celery app; its options are the messages' options.
        producer: on a channel of a Redis broker; also declares the queue.

    Raises:
        RuntimeError: Celery or kombu makes a kind of message that cannot be filled in.
        Exception: any error of the transport.
    """

    def __init__(self, app: Celery, producer: Producer) -> None:
        with set_aside() as caught:
            app.send_task(RECEIVE_PUSH, kwargs={}, task_id=_ID, producer=producer, **OPTIONS)
        if len(caught) != 1:
            raise RuntimeError("kombu does not put a message on a queue of Redis with one LPUSH any more")
        #: the list of the queue
        self.key, made = caught[0]
        message = loads(made)
        self._embedded = _encode(_embedded_in(message))
        message["body"] = _BODY
        message["properties"]["delivery_tag"] = _TAG
        self._pieces = _cut(dumps(message))

    def fill(self, kwargs: str) -> str:
        """Return the message for the list ``key``, with the arguments ``kwargs``, an object of JSON."""
        drawn = os.urandom(32).hex()
        own = {_ID: _uuid4(drawn[:32]), _TAG: _uuid4(drawn[32:])}
        own[_BODY] = _encode(f"[[],{kwargs},{self._embedded}]")[1:-1]
        return "".join([own.get(piece, piece) for piece in self._pieces])


def arguments(appid: str, push: dict[str, Any], received_at: float) -> str:
    """Return the arguments of the task as an object of JSON in ASCII."""
    return _encode({"appid": appid, "push": push, "received_at": received_at})


def _embedded_in(message: dict[str, Any]) -> dict[str, Any]:
    """Return the further parts of a body without arguments, such as callbacks.

    Raises:
        RuntimeError: the body is not the JSON of Celery's protocol 2, as our transport leaves it.
    """
    properties = message["properties"]
    if (message["content-type"], properties["body_encoding"]) != ("application/json", None):
        raise RuntimeError("the body of a push's message has to be JSON, and not in base64: see task_serializer")
    if "compression" in message["headers"]:
        raise RuntimeError("the body of a push's message cannot be compressed: see task_compression")
    body = json.loads(message["body"])
    if not isinstance(body, list) or body[:2] != [[], {}]:
        raise RuntimeError("the arguments of a push's message are not where protocol 2 has them: see task_protocol")
    embedded: dict[str, Any] = body[2]
    return embedded


def _cut(made: str) -> list[str]:
    """Return the pieces of a message in JSON, with the marks between them.

    Raises:
        RuntimeError: the message lacks a mark.
    """
    pieces = [made]
    for mark in (_ID, _BODY, _TAG):
        written = mark.replace("\x01", _ESCAPED)
        pieces = [part for piece in pieces for part in _around(piece, written, mark)]
    if not {_ID, _BODY, _TAG} <= set(pieces):
        raise RuntimeError("Celery does not put a task's id, or kombu a delivery tag, into a message any more")
    return pieces


def _around(piece: str, written: str, mark: str) -> list[str]:
    parts = piece.split(written)
    return [part for text in parts for part in (mark, text)][1:]


def _uuid4(digits: str) -> str:
    """Return 32 random hexadecimal digits as a UUID of version 4."""
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
