"""Celery's Redis transport, mended where a worker would end with the connection to its broker."""

from __future__ import annotations

from typing import Any

import redis
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.redis import Channel as RedisChannel
from kombu.transport.redis import Transport as RedisTransport


class Channel(RedisChannel):  # type: ignore[misc]  # kombu ships no types
    """A channel that says what it is when its connection is gone.

    kombu 5.7 raises AttributeError then, which nobody takes for a lost connection: a worker with messages in hand ends
    while it gives these back, or acknowledges one. As a connection error it is logged, and the worker connects anew;
    the broker gives the messages out again when their time is over.
    """

    def _create_client(self, asynchronous: bool = False) -> Any:
        if self.connection is None or self.connection.client is None:
            raise redis.exceptions.ConnectionError("the connection of this channel is closed")
        return super()._create_client(asynchronous)


class Transport(RedisTransport):  # type: ignore[misc]  # kombu ships no types
    """``redis://`` and ``rediss://`` brokers."""

    Channel = Channel


def use_transport() -> None:
    """Makes this process use it for each Redis broker; to be called before the first connection.

    By its alias: a transport that is set by name changes the URL of the broker, and Flower's page of it knows no such.
    """
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
