"""The endpoint's own connections to the broker, with time-outs shorter than a push may take."""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu import Connection, Producer
from kombu.transport import virtual

from config.redis_url import is_kombus_redis

#: seconds for one step: connecting, or one answer
STEP_SECONDS = 2


class BrokerLink:
    """A connection to the broker of ``app``, owned by one thread, made at its first use and again after a failure.

    The methods raise the transport's errors, each step within ``STEP_SECONDS``; call :meth:`failed` after an error.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connection: Connection = app.connection_for_write(
            transport_options=_time_outs(app), connect_timeout=STEP_SECONDS
        )
        self._producer: Producer | None = None

    @property
    def is_open(self) -> bool:
        """True if the connection worked before: then a failure may concern this connection alone."""
        return self._producer is not None

    def producer(self) -> Producer:
        if self._producer is None:
            self._connect()
            self._producer = self._app.amqp.Producer(self._connection.channel(), auto_declare=False)
        return self._producer

    def ping(self) -> None:
        """Make sure that the broker answers."""
        self._connect()
        self._connection.channel().close()

    def failed(self) -> None:
        """Get ready to connect again.

        kombu's virtual transports, Redis among them, reconnect by themselves. New objects of theirs would each hold an
        epoll descriptor until the garbage is collected: too late when every push fails.
        """
        if not isinstance(self._connection.transport, virtual.Transport):
            self.close()

    def close(self) -> None:
        """Close the connection, without taking leave of a broker that may be away."""
        self._connection.collect(socket_timeout=STEP_SECONDS)
        self._producer = None

    def _connect(self) -> None:
        # kombu's own connect() tries again after two seconds; this call tries each address of a URL with several once
        self._connection.ensure_connection(max_retries=max(len(self._connection.alt) - 1, 0))


def broker_url(app: Celery) -> str:
    """Return the URL of the broker that ``app`` publishes to."""
    return str(app.conf.broker_write_url or "")


def describe(error: BaseException) -> str:
    """Return ``error`` as one short line for the log, without the content that was sent."""
    # redis-py quotes the command with its arguments before these words
    message = str(error).rpartition(" of pipeline caused error: ")[2]
    return f"{type(error).__name__}: {' '.join(message.split())[:200]}"


def _time_outs(app: Celery) -> dict[str, Any]:
    if is_kombus_redis(broker_url(app)):
        return {
            "socket_timeout": STEP_SECONDS,
            "socket_connect_timeout": STEP_SECONDS,
            "socket_keepalive": True,
            "retry_on_timeout": False,
        }
    if broker_url(app).startswith(("amqp", "pyamqp")):
        # Without confirmation a publish counts as done once it is written to the socket, even if nobody reads it
        return {"read_timeout": STEP_SECONDS, "write_timeout": STEP_SECONDS, "confirm_publish": True}
    return {}
