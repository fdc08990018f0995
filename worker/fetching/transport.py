"""Celery's Redis transport, mended where a message or a worker would be lost.

kombu takes a message with BRPOP, and records it as unacknowledged when it has read the answer: what dies between, or
loses its connection, loses the message. Here one Lua step does both (``worker/fetching/fetch.lua``). On an empty queue
the worker waits with a BLMOVE from a list to itself, which moves nothing: it wakes the worker, and a fetch follows.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any, ClassVar

import redis
import redis.exceptions
from kombu.transport import TRANSPORT_ALIASES, virtual
from kombu.transport.redis import Channel as RedisChannel
from kombu.transport.redis import Empty
from kombu.transport.redis import QoS as RedisQoS
from kombu.transport.redis import Transport as RedisTransport
from kombu.utils.json import dumps, loads

from config.logs import Log
from config.redis_url import SCHEMES
from store import keys
from store.connection import STORE_AWAY
from store.outbox.outbox import kept_messages, was_acknowledged
from store.scripts import script
from worker.fetching.broker_lists import PRIORITIES, published
from worker.fetching.raw_message import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from redis.client import Pipeline
    from redis.commands.core import Script

log = Log(__name__)

#: messages that one fetch takes at most
FETCH = 16
#: messages that are given out again in one step
REDELIVER = 100
#: seconds between two looks at an empty queue: only the list of one priority, the last one used, wakes who waits
LOOK = 0.1
#: how often within the visibility time-out a worker says what it has in hand
RENEWALS = 6
#: seconds for which that is said of one message: a run that hangs for longer does not keep it from others
LONGEST_IN_HAND = 600.0


FETCH_SCRIPT = "worker/fetching/fetch"


class QoS(RedisQoS):  # type: ignore[misc]  # kombu ships no types
    """What a channel has in hand. Messages go back to the place in the queue that they had; kombu's go to its end.

    A message that could not be acknowledged or given back, for Redis was away, takes no room any more: nobody says it
    a second time, and the broker gives it out again when its time is over. With kombu the room would be lost for ever.
    """

    def append(self, message: Any, delivery_tag: str) -> None:
        # it was recorded when it was taken
        virtual.QoS.append(self, message, delivery_tag)
        message.taken_at = time.monotonic()

    def ack(self, delivery_tag: str) -> None:
        if was_acknowledged(delivery_tag):
            virtual.QoS.ack(self, delivery_tag)
        else:
            self.reject(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        try:
            if requeue:
                self.channel.give_back([delivery_tag])
            else:
                self.channel.acknowledge(delivery_tag)
        finally:
            virtual.QoS.ack(self, delivery_tag)

    def restore_unacked(self, client: Any = None) -> None:  # noqa: ARG002 - kombu passes it
        self._flush()
        # each goes before the one given back before it
        tags = list(reversed(self._delivered))
        if tags:
            self.channel.give_back(tags)
        self._delivered.clear()

    def restore_visible(self, start: int = 0, num: int | None = None, interval: int = 1) -> None:  # noqa: ARG002
        """Gives out again what others left behind."""
        found = self.channel.redeliver(num or REDELIVER)
        if found:
            log.warning(
                "messages_redelivered", f"{found} that nobody had acknowledged for {self._timeout:.0f} s", count=found
            )

    def renew(self) -> None:
        """Says that what is in hand is not left behind."""
        since = time.monotonic() - LONGEST_IN_HAND
        tags = [tag for tag, message in list(self._delivered.items()) if message.taken_at > since]
        if tags:
            self.channel.renew(tags)

    @property
    def _timeout(self) -> float:
        return float(self.channel.visibility_timeout)


class Client(redis.Redis):
    """A client whose pipelines are no transactions, unless that is asked for: kombu asks for sizes, and empties queues,
    in MULTI, and a Redis 7 that is full refuses every command there, those too that make room."""

    def pipeline(self, transaction: bool = False, shard_hint: str | None = None) -> Pipeline:
        return super().pipeline(transaction, shard_hint)


class Channel(RedisChannel):  # type: ignore[misc]  # kombu ships no types
    """A channel that takes messages and records them in one step.

    It says what it is when its connection is gone. kombu 5.7 raises AttributeError then, which nobody takes for a lost
    connection: a worker with messages in hand ends while it gives these back, or acknowledges one. As a connection
    error it is logged, and the worker connects anew; the broker gives the messages out again when their time is over.
    """

    QoS = QoS
    Message = Message
    #: what is to be told of each message that is none, by its queue
    on_no_message: ClassVar[Callable[[str], None] | None] = None
    #: none: kombu's base64 is for bytes, and JSON, which is all that is sent here, is text. Any kombu reads it
    body_encoding = None
    #: every list that a publisher can put a message in is read, counted and deleted
    priority_steps = PRIORITIES
    from_transport_options = (*RedisChannel.from_transport_options, "commits_ends")
    #: whether what follows the end of a check is published in one step with that (store.outbox)
    commits_ends = False
    #: the connection on which an answer is awaited, if there is one
    _in_poll: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: of a fetch under way: the lists that it looks into, as (list, queue), and the tags that it may give
        self._fetching: tuple[list[tuple[str, str]], list[str]] | None = None
        #: list and queue of the last message
        self._last: tuple[str, str] = ("", "")
        #: queues whose messages nobody will acknowledge: replies to commands, and events
        self._no_ack: set[str] = set()
        #: whether the last fetch found nothing
        self._found_nothing = False
        #: whether Redis is full, and refuses the command that waits for a message
        self._is_full = False
        super().__init__(*args, **kwargs)

    @property
    def is_fetching(self) -> bool:
        """Whether a fetch is under way, whose messages may have left the queue already."""
        return bool(self._in_poll) and self._fetching is not None

    def readdress(self, message: Any, queue: str, *, redelivered: bool = False) -> None:
        """Has an unacknowledged message go to another queue when it is given back, or be marked as one that comes
        again."""
        raw = message._raw
        if redelivered:
            raw["properties"]["delivery_info"]["redelivered"] = True
        # by its queue's name alone: a broker that was emptied knows no exchange
        raw["properties"]["delivery_info"].update(exchange="", routing_key=queue)
        to = self._q_for_pri(queue, self._get_message_priority(raw, reverse=False))
        self._run("worker/fetching/readdress", [self.unacked_key], [message.delivery_tag, to, dumps(raw)])

    def acknowledge(self, tag: str) -> None:
        """Says that a message is done with, also to a Redis that is full: kombu does so in MULTI."""
        self._run("store/outbox/acknowledge", [self.unacked_key, self.unacked_index_key], [tag])

    def give_back(self, tags: list[str]) -> None:
        """Gives back what is in hand, the first of ``tags`` first; what is given back later goes before it."""
        self._run("worker/fetching/give_back", [self.unacked_key, self.unacked_index_key], tags)

    def redeliver(self, limit: int) -> int:
        """Gives out again what was not acknowledged for the visibility time-out; how many messages."""
        of_messages = [self.unacked_key, self.unacked_index_key]
        return int(self._run("worker/fetching/redeliver", of_messages, [self.visibility_timeout, limit]))

    def renew(self, tags: list[str]) -> None:
        """Says that messages are in hand still."""
        self._run("worker/fetching/renew", [self.unacked_index_key], tags)

    def close(self) -> None:
        if self._in_poll and self._fetching is None:
            self._in_poll = None  # it only waits, and nothing is lost with the answer
        super().close()

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> None:
        if no_ack:
            self._no_ack.add(queue)
        super().basic_consume(queue, no_ack, *args, **kwargs)

    def _brpop_start(self, timeout: float | None = None) -> None:  # noqa: ARG002 - kombu passes it
        """Sends a fetch; where the last one found nothing, the command that waits for a message."""
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        connection = self.client.connection
        self._in_poll = connection
        self._brpop_sent_at = time.monotonic()
        if self._found_nothing:
            self._fetching = None
            if self._is_full:
                connection.send_command("BRPOP", keys.NEVER, LOOK)
            else:
                name = self._last[0] if self._last[1] in queues else queues[0]
                connection.send_command("BLMOVE", name, name, "RIGHT", "RIGHT", LOOK)
        else:
            self._fetching = self._lists(queues), self._tags()
            connection.send_command("EVALSHA", self._script(FETCH_SCRIPT).sha, *self._fetch_arguments(*self._fetching))

    def _brpop_read(self, **options: Any) -> bool:
        fetching, self._fetching = self._fetching, None
        try:
            found = self.client.parse_response(self.client.connection, "EVALSHA", **options)
        except redis.exceptions.NoScriptError:
            self._script(FETCH_SCRIPT).sha = self._load(FETCH_SCRIPT)
            raise Empty from None
        except redis.exceptions.OutOfMemoryError:
            self._is_full = True
            raise Empty from None
        except self.connection_errors as error:
            # disconnected, the worker connects anew: to a Redis that takes writes, if there is one
            self.client.connection.disconnect()
            raise redis.exceptions.ConnectionError(f"{type(error).__name__}: {error}") from error
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        if fetching is None:
            self._found_nothing = self._is_full = False
            raise Empty
        self._found_nothing = not found
        if not found:
            raise Empty
        self._deliver_all(self._read(found, *fetching))
        return True

    def _get_message_priority(self, message: dict[str, Any], reverse: bool = False) -> int:
        """The list that a message is put in is one that every consumer reads."""
        return published(int(super()._get_message_priority(message, reverse=reverse)))

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        kept = kept_messages() if self.commits_ends else None
        if kept is None or queue in self._expires:
            super()._put(queue, message, **kwargs)
        else:
            to = self._q_for_pri(queue, self._get_message_priority(message, reverse=False))
            kept += [to, dumps(message, separators=(",", ":"))]

    def _get(self, queue: str) -> dict[str, Any]:
        lists, tags = self._lists([queue]), [str(uuid.uuid4())]
        count, *arguments = self._fetch_arguments(lists, tags)
        found = self._run(FETCH_SCRIPT, arguments[:count], arguments[count:])
        for _, raw in self._read(found, lists, tags):
            return raw
        raise Empty

    def _deliver_all(self, messages: Iterable[tuple[str, dict[str, Any]]]) -> None:
        late = []
        for queue, raw in messages:
            if self._closing or queue not in self.connection._callbacks:
                # the queue was paused meanwhile; it goes back to its place, and nobody needs to be told
                late.append(raw["properties"]["delivery_tag"])
            else:
                self._queue_cycle.rotate(queue)
                self.connection._deliver(raw, queue)
        if late:
            self.give_back(late[::-1])

    def _read(
        self, found: list[Any], lists: list[tuple[str, str]], tags: list[str]
    ) -> Iterable[tuple[str, dict[str, Any]]]:
        """Queue and message of each that a fetch took."""
        for number, content, tag in zip(found[::2], found[1::2], tags, strict=False):
            self._last = lists[number]
            queue = self._last[1]
            try:
                raw = loads(content.decode())
                raw["properties"]["delivery_tag"] = tag
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                # it can be no check: nobody who speaks kombu's language put it there
                what = f"{len(content)} bytes that are no message of kombu's ({type(error).__name__})"
                log.error("message_dropped", what, queue=queue)  # noqa: TRY400 - its text could quote the message
                if (tell := type(self).on_no_message) is not None:
                    tell(queue)
                self.acknowledge(tag)
                continue
            if queue in self._no_ack:
                # else it would be given out again when its time is over, to nobody
                self.acknowledge(tag)
            yield queue, raw

    def _lists(self, queues: list[str]) -> list[tuple[str, str]]:
        return [(self._q_for_pri(queue, step), queue) for step in self.priority_steps for queue in queues]

    def _tags(self) -> list[str]:
        room = self.qos.can_consume_max_estimate()
        return [str(uuid.uuid4()) for _ in range(FETCH if room is None else max(1, min(room, FETCH)))]

    def _fetch_arguments(self, lists: list[tuple[str, str]], tags: list[str]) -> list[Any]:
        script_keys = [self.unacked_key, self.unacked_index_key, *(name for name, _ in lists)]
        return [len(script_keys), *script_keys, *tags]

    def _script(self, name: str) -> Script:
        if name not in (scripts := self.__dict__.setdefault("_scripts", {})):
            scripts[name] = script(self._create_client(), name)
        found: Script = scripts[name]
        return found

    def _run(self, name: str, script_keys: list[str], args: list[Any]) -> Any:
        with self.conn_or_acquire() as client:
            return self._script(name)(keys=script_keys, args=args, client=client)

    def _load(self, name: str) -> Any:
        with self.conn_or_acquire() as client:
            return client.script_load(self._script(name).script)

    def _get_client(self) -> type[redis.Redis]:
        return Client

    def _create_client(self, asynchronous: bool = False) -> Any:
        if self.connection is None or self.connection.client is None:
            raise redis.exceptions.ConnectionError("the connection of this channel is closed")
        return super()._create_client(asynchronous)


class Transport(RedisTransport):  # type: ignore[misc]  # kombu ships no types
    """``redis://`` and ``rediss://`` brokers.

    To a Redis that takes no writes for a while a worker connects anew; with kombu's errors it would end.
    """

    Channel = Channel
    connection_errors = (*RedisTransport.connection_errors, *STORE_AWAY)

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        super().register_with_event_loop(connection, loop)
        before = getattr(self.cycle, "renewing", None)
        if before is not None:
            before.cancel()
        seconds = connection.client.transport_options["visibility_timeout"] / RENEWALS
        self.cycle.renewing = loop.call_repeatedly(seconds, self._renew)

    def _renew(self) -> None:
        for channel in list(self.cycle._channels):
            try:
                channel.qos.renew()
            except self.connection_errors as error:
                log.debug("not_renewed", type(error).__name__)
                return


def use_transport(on_no_message: Callable[[str], None] | None = None) -> None:
    """Makes this process use it for each Redis broker; to be called before the first connection. ``on_no_message`` is
    told the queue of each message that is none of kombu's, and is dropped.

    By its alias: a transport that is set by name changes the URL of the broker, and Flower's page of it knows no such.
    """
    for scheme in SCHEMES:
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
    Channel.on_no_message = on_no_message and staticmethod(on_no_message)
