"""The number of messages in the broker's queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kombu.exceptions import ChannelError

from config.broker_lists import lists_of
from config.celery import CONNECT_TIMEOUT, SOCKET_TIMEOUT
from config.names import UNACKED_INDEX
from config.redis_url import is_redis
from config.refusals import origin, remedy
from store.connection import STORE_AWAY, connect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celery import Celery
    from kombu import Connection

    from config.settings import Settings


class BrokerAway(Exception):
    """The broker does not answer; the message names its address, without its password, and the reason.

    ``remedy``: for a broker that answers and refuses.
    """

    def __init__(self, said: str, remedy: str | None = None) -> None:
        super().__init__(said)
        self.remedy = remedy


class Head(NamedTuple):
    """A queue at present."""

    messages: int
    #: number of consumers; None if the broker does not tell
    consumers: int | None
    #: the message that will be taken next, if the broker shows it; else ''
    first: str = ""


class Queues:
    """Asks the broker of ``settings``, each time within seconds."""

    def __init__(self, settings: Settings, celery_app: Celery) -> None:
        self._app = celery_app
        self._redis = connect(settings.broker, SOCKET_TIMEOUT, retries=1) if is_redis(settings.broker) else None
        self._connection: Connection | None = None

    def lengths(self, names: Iterable[str]) -> dict[str, int]:
        """Return the number of messages by queue; 0 for a missing queue.

        Raises:
            BrokerAway: the broker does not answer, or refuses.
        """
        return {name: head.messages for name, head in self.heads(names, first=False).items()}

    def taken(self) -> int:
        """Return the number of messages that workers have taken from a Redis broker and not filed yet.

        Raises:
            BrokerAway: the broker does not answer, or refuses.
        """
        if self._redis is None:
            return 0
        try:
            return int(self._redis.zcard(UNACKED_INDEX))
        except STORE_AWAY as error:
            raise self._away(error) from error

    def heads(self, names: Iterable[str], *, first: bool = True) -> dict[str, Head]:
        """Return each queue; a missing queue is empty. ``first``: with the message that will be taken next.

        Raises:
            BrokerAway: the broker does not answer, or refuses.
        """
        asked = list(names)
        try:
            return self._lists(asked, show=first) if self._redis is not None else self._declared(asked)
        except Exception as error:
            raise self._away(error) from error

    def _away(self, error: Exception) -> BrokerAway:
        self._connection = None
        url = self._app.connection_for_read().as_uri()
        cause = origin(error)
        said = f"{url}: {type(cause).__name__}: {' '.join(str(cause).split())[:200]}"
        return BrokerAway(said, remedy(error, "WXCHECK_BROKER_URL"))

    def _lists(self, names: list[str], *, show: bool) -> dict[str, Head]:
        """Read the lists of kombu's queues, one list for each priority."""
        assert self._redis is not None  # noqa: S101
        with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                for one in lists_of(name):
                    pipe.llen(one)
                    # (1, 0) reads nothing of a message, which may be long
                    pipe.lrange(one, *((-1, -1) if show else (1, 0)))
            found = iter(pipe.execute(raise_on_error=False))
        heads = {}
        for name in names:
            messages, first = 0, ""
            for _ in lists_of(name):
                length, next_one = next(found), next(found)
                for said in (length, next_one):
                    # a foreign key of that name may be of another type
                    if isinstance(said, Exception) and not str(said).startswith("WRONGTYPE"):
                        raise said
                if isinstance(length, int) and length:
                    messages, first = messages + length, first or "".join(next_one)
            heads[name] = Head(messages, None, first)
        return heads

    def _declared(self, names: list[str]) -> dict[str, Head]:
        if self._connection is None:
            self._connection = self._app.connection_for_read(connect_timeout=CONNECT_TIMEOUT)
            self._connection.ensure_connection(max_retries=0)
        # a transport that only imitates AMQP makes the number up
        counts = self._connection.transport.driver_type == "amqp"
        heads = {}
        for name in names:
            try:
                with self._connection.channel() as channel:
                    said = channel.queue_declare(name, passive=True)
                heads[name] = Head(int(said.message_count), int(said.consumer_count) if counts else None)
            except ChannelError:
                heads[name] = Head(0, None)  # nobody has declared it yet
        return heads
