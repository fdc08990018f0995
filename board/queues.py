"""How many messages wait in the queues of the broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu.exceptions import ChannelError
from kombu.transport.redis import Channel

from config.celery import CONNECT_TIMEOUT, SOCKET_TIMEOUT
from config.store import connect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celery import Celery
    from kombu import Connection

    from config.settings import Settings


class BrokerAway(Exception):
    """The broker does not answer; the message says where it is, without its password, and why."""


class Queues:
    """Asks the broker of ``settings``, each time within seconds."""

    def __init__(self, settings: Settings, celery_app: Celery) -> None:
        self._app = celery_app
        is_redis = settings.broker.startswith(("redis:", "rediss:"))
        self._redis = connect(settings.broker, SOCKET_TIMEOUT, retries=1) if is_redis else None
        self._connection: Connection | None = None

    def lengths(self, names: Iterable[str]) -> dict[str, int]:
        """Messages by queue; 0 of one that is not there.

        Raises:
            BrokerAway.
        """
        asked = list(names)
        try:
            return self._lists(asked) if self._redis is not None else self._declared(asked)
        except Exception as error:
            self._connection = None
            url = self._app.connection_for_read().as_uri()
            raise BrokerAway(f"{url}: {type(error).__name__}: {' '.join(str(error).split())[:200]}") from error

    def _lists(self, names: list[str]) -> dict[str, int]:
        """A queue of kombu's is a list for each step of priority."""
        assert self._redis is not None  # noqa: S101
        steps = [f"{Channel.sep}{step}" if step else "" for step in Channel.priority_steps]
        with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                for step in steps:
                    pipe.llen(name + step)
            found = iter(pipe.execute())
        return {name: sum(next(found) for _ in steps) for name in names}

    def _declared(self, names: list[str]) -> dict[str, int]:
        if self._connection is None:
            self._connection = self._app.connection_for_read(connect_timeout=CONNECT_TIMEOUT)
            self._connection.ensure_connection(max_retries=0)
        lengths = {}
        for name in names:
            try:
                with self._connection.channel() as channel:
                    lengths[name] = int(channel.queue_declare(name, passive=True).message_count)
            except ChannelError:
                lengths[name] = 0  # nobody has declared it yet
        return lengths
