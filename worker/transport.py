"""Celery's Redis transport, mended where a worker would end with the connection to its broker."""

from __future__ import annotations

from typing import Any

import redis
from kombu.transport import TRANSPORT_ALIASES, virtual
from kombu.transport.redis import Channel as RedisChannel
from kombu.transport.redis import QoS as RedisQoS
from kombu.transport.redis import Transport as RedisTransport
from kombu.utils.json import dumps


class QoS(RedisQoS):  # type: ignore[misc]  # kombu ships no types
    """Gives messages back to the place in the queue that they had, as other brokers do; kombu's goes to its end.

    A message that could not be acknowledged or given back, for Redis was away, takes no room any more: nobody says it
    a second time, and the broker gives it out again when its time is over. With kombu the room would be lost for ever.
    """

    def ack(self, delivery_tag: str) -> None:
        self.reject(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        try:
            if requeue:
                self.restore_by_tag(delivery_tag)
            else:
                self._remove_from_indices(delivery_tag).execute()
        finally:
            virtual.QoS.ack(self, delivery_tag)

    def restore_unacked(self, client: Any = None) -> None:
        # each goes before the one restored before it
        with self.channel.conn_or_acquire(client) as connection:
            for tag in reversed(list(self._delivered)):
                self.restore_by_tag(tag, client=connection)
        self._delivered.clear()


class Channel(RedisChannel):  # type: ignore[misc]  # kombu ships no types
    """A channel that says what it is when its connection is gone.

    kombu 5.7 raises AttributeError then, which nobody takes for a lost connection: a worker with messages in hand ends
    while it gives these back, or acknowledges one. As a connection error it is logged, and the worker connects anew;
    the broker gives the messages out again when their time is over.
    """

    QoS = QoS

    @property
    def is_fetching(self) -> bool:
        """Whether a fetch is under way, whose message may have left the queue already."""
        return bool(self._in_poll)

    def readdress(self, message: Any, queue: str) -> None:
        """Has an unacknowledged message go to another queue when it is given back. The queue has been declared."""
        raw = message._raw
        raw["properties"]["delivery_info"].update(exchange=queue, routing_key=queue)
        with self.conn_or_acquire() as client:
            if client.hexists(self.unacked_key, message.delivery_tag):
                client.hset(self.unacked_key, message.delivery_tag, dumps([raw, queue, queue]))

    def _create_client(self, asynchronous: bool = False) -> Any:
        if self.connection is None or self.connection.client is None:
            raise redis.exceptions.ConnectionError("the connection of this channel is closed")
        return super()._create_client(asynchronous)


class Transport(RedisTransport):  # type: ignore[misc]  # kombu ships no types
    """``redis://`` and ``rediss://`` brokers."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        if queue and queue not in self._callbacks:
            # it was on its way when its lane paused; it goes back to its place, and nobody needs to be told
            self._reject_inbound_message(message)
            return
        super()._deliver(message, queue)


def use_transport() -> None:
    """Makes this process use it for each Redis broker; to be called before the first connection.

    By its alias: a transport that is set by name changes the URL of the broker, and Flower's page of it knows no such.
    """
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
