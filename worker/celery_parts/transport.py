"""Celery's Redis transport as a worker publishes by it: into lists that every consumer reads, or into a run's end."""

from __future__ import annotations

from typing import Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.redis import Channel as RedisChannel
from kombu.transport.redis import Transport as RedisTransport

from config.broker_lists import published
from config.redis_url import SCHEMES
from store.connection import STORE_AWAY
from store.outbox.outbox import kept_messages


class Channel(RedisChannel):  # type: ignore[misc]  # kombu ships no types
    """A channel that publishes plain text."""

    def encode_body(self, body: Any, encoding: str | None = None) -> tuple[Any, str | None]:
        """Return text as it is, which any kombu reads, and what is no text in base64."""
        try:
            return body if isinstance(body, str) else bytes(body).decode(), None
        except UnicodeDecodeError:
            encoded: tuple[Any, str | None] = super().encode_body(body, encoding)
            return encoded

    def _get_message_priority(self, message: dict[str, Any], reverse: bool = False) -> int:
        """Return a priority whose list every consumer reads."""
        return published(int(super()._get_message_priority(message, reverse=reverse)))

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        kept, commands = kept_messages.get(), _Commands()
        if kept is not None:
            super()._put(queue, message, _publish_batch=commands)
        if kept is None or [name for name, *_ in commands] != ["lpush"]:
            # a queue that expires is told so with each message
            super()._put(queue, message, **kwargs)
        else:
            kept.append(commands[0][1:])


class _Commands(list[tuple[Any, ...]]):
    """What kombu's channel takes for a batch: it adds to it the commands that would put a message on its queue."""

    def add(self, *command: Any) -> None:
        self.append(command)


class Transport(RedisTransport):  # type: ignore[misc]  # kombu ships no types
    """The transport for ``redis://`` and ``rediss://`` brokers.

    A worker whose Redis takes no writes for a while connects anew. With kombu's list of errors the worker would end.
    """

    Channel = Channel
    connection_errors = (*RedisTransport.connection_errors, *STORE_AWAY)


def use_transport() -> None:
    """Make this process use :class:`Transport` for each Redis broker. Call this before the first connection.

    The transport replaces an alias: set by name it would change the broker's URL, which Flower's page would not know.
    """
    for scheme in SCHEMES:
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
