"""The endpoint's own connections to the broker, with time-outs shorter than a push may take."""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu import Connection, Producer
from kombu.transport import virtual

#: seconds for one step: connecting, or one answer
STEP_SECONDS = 2


class BrokerLink:
    """One thread's own connection to the broker of ``app``, made when it is first used, and again after a failure.

    Its methods raise whatever the transport raises, each step within ``STEP_SECONDS``; call :meth:`failed` then.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connection: Connection = app.connection_for_write(
            transport_options=_time_outs(app), connect_timeout=STEP_SECONDS
        )
        self._producer: Producer | None = None

    @property
    def is_open(self) -> bool:
        """Whether it worked before: then a failure may be of that connection alone."""
        return self._producer is not None

    def producer(self) -> Producer:
        if self._producer is None:
            self._connect()
            self._producer = self._app.amqp.Producer(self._connection.channel(), auto_declare=False)
        return self._producer

    def ping(self) -> None:
        """See that the broker answers."""
        self._connect()
        self._connection.channel().close()

    def failed(self) -> None:
        """Get ready to connect again.

        kombu's virtual transports, Redis among them, do so by themselves. Making their objects anew would hold an
        epoll descriptor each until the garbage is collected: too late, when every push fails.
        """
        if not isinstance(self._connection.transport, virtual.Transport):
            self._connection.collect(socket_timeout=STEP_SECONDS)  # without taking leave of a broker that is away
            self._producer = None

    def _connect(self) -> None:
        # kombu's own connect() tries again after two seconds; here each address of a URL with several is tried once
        self._connection.ensure_connection(max_retries=max(len(self._connection.alt) - 1, 0))


def is_redis(app: Celery) -> bool:
    """Whether the broker of ``app`` is a Redis, or what speaks its language."""
    return _scheme(app).startswith(("redis", "valkey", "sentinel", "unix"))


def describe(error: BaseException) -> str:
    """``error`` in one short line for the log, without what was sent."""
    # redis-py quotes the command with its arguments before this
    message = str(error).rpartition(" of pipeline caused error: ")[2]
    return f"{type(error).__name__}: {' '.join(message.split())[:200]}"


def _time_outs(app: Celery) -> dict[str, Any]:
    if is_redis(app):
        return {
            "socket_timeout": STEP_SECONDS,
            "socket_connect_timeout": STEP_SECONDS,
            "socket_keepalive": True,
            "retry_on_timeout": False,
        }
    if _scheme(app).startswith(("amqp", "pyamqp")):
        # Without confirmation a publish is done when it is written to the socket, whether or not anybody reads it
        return {"read_timeout": STEP_SECONDS, "write_timeout": STEP_SECONDS, "confirm_publish": True}
    return {}


def _scheme(app: Celery) -> str:
    return str(app.conf.broker_write_url or "").split(":")[0]
