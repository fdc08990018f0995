"""Celery's Redis transport, mended: it could lose a message, or end a worker.

kombu takes a message with BRPOP, and records the message as unacknowledged when it has read the answer. A worker that
dies in between, or loses its connection, loses the message. Here one Lua step does both
(``worker/fetching/fetch.lua``). On an empty queue the worker waits with a BLMOVE from a list to itself, which moves
nothing, but wakes the worker; a fetch follows.
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
#: seconds between two looks at an empty queue: only one list, that of the latest priority, wakes a waiting worker
LOOK = 0.1
#: times within the visibility time-out that a worker renews its messages in hand
RENEWALS = 6
#: seconds for which one message is renewed: a run that hangs for longer does not keep the message from others
LONGEST_IN_HAND = 600.0


FETCH_SCRIPT = "worker/fetching/fetch"


class QoS(RedisQoS):  # type: ignore[misc]  # kombu ships no types
    """The messages that a channel has in hand. They go back to their place in the queue; kombu's go to its end.

    A message that could not be acknowledged or given back, because Redis was away, takes no room any more: nobody tries
    a second time, and the broker gives the message out again when its time is over. kombu would lose the room for ever.
    """

    def append(self, message: Any, delivery_tag: str) -> None:
        # the fetch has recorded the message
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
        # each message goes before the one that was given back just before
        tags = list(reversed(self._delivered))
        if tags:
            self.channel.give_back(tags)
        self._delivered.clear()

    def restore_visible(self, start: int = 0, num: int | None = None, interval: int = 1) -> None:  # noqa: ARG002
        """Give out again the messages that other workers left behind."""
        found = self.channel.redeliver(num or REDELIVER)
        if found:
            log.warning(
                "messages_redelivered", f"{found} that nobody had acknowledged for {self._timeout:.0f} s", count=found
            )

    def renew(self) -> None:
        """Renew the messages in hand, so that nobody takes them for left behind."""
        since = time.monotonic() - LONGEST_IN_HAND
        tags = [tag for tag, message in list(self._delivered.items()) if message.taken_at > since]
        if tags:
            self.channel.renew(tags)

    @property
    def _timeout(self) -> float:
        return float(self.channel.visibility_timeout)


class Client(redis.Redis):
    """A client whose pipelines are transactions only on demand.

    kombu asks for sizes, and empties queues, in MULTI, and a Redis 7 that is full refuses every command there, even one
    that makes room.
    """

    def pipeline(self, transaction: bool = False, shard_hint: str | None = None) -> Pipeline:
        return super().pipeline(transaction, shard_hint)


class Channel(RedisChannel):  # type: ignore[misc]  # kombu ships no types
    """A channel that takes messages and records them in one step.

    A lost connection is a connection error here. kombu 5.7 raises AttributeError, which nobody takes for a lost
    connection: a worker with messages in hand ends while it gives them back, or acknowledges one. A connection error is
    logged, and the worker connects anew; the broker gives the messages out again when their time is over.
    """

    QoS = QoS
    Message = Message
    #: is called with the queue of each entry that is no message
    on_no_message: ClassVar[Callable[[str], None] | None] = None
    #: none: kombu's base64 is for bytes, and every message here is JSON, which is text. Any kombu reads plain text
    body_encoding = None
    #: every list that a publisher can put a message in is read, counted and deleted
    priority_steps = PRIORITIES
    from_transport_options = (*RedisChannel.from_transport_options, "commits_ends")
    #: follow-ups are published in one step with the end of their check (store.outbox)
    commits_ends = False
    #: connection on which an answer is awaited; falsy: none
    _in_poll: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: the fetch under way: its lists, as (list, queue), and its delivery tags
        self._fetching: tuple[list[tuple[str, str]], list[str]] | None = None
        #: list and queue of the latest message
        self._last: tuple[str, str] = ("", "")
        #: queues whose messages nobody will acknowledge: replies to commands, and events
        self._no_ack: set[str] = set()
        #: the latest fetch found nothing
        self._found_nothing = False
        #: Redis is full, and refuses the command that waits for a message
        self._is_full = False
        super().__init__(*args, **kwargs)

    @property
    def is_fetching(self) -> bool:
        """True if a fetch is under way, whose messages may have left the queue already."""
        return bool(self._in_poll) and self._fetching is not None

    def readdress(self, message: Any, queue: str, *, redelivered: bool = False) -> None:
        """Have an unacknowledged message go to ``queue`` when it is given back.

        ``redelivered``: the message is marked as one that comes again.
        """
        raw = message._raw
        if redelivered:
            raw["properties"]["delivery_info"]["redelivered"] = True
        # the queue's name alone: a broker that was emptied knows no exchange
        raw["properties"]["delivery_info"].update(exchange="", routing_key=queue)
        to = self._q_for_pri(queue, self._get_message_priority(raw, reverse=False))
        self._run("worker/fetching/readdress", [self.unacked_key], [message.delivery_tag, to, dumps(raw)])

    def acknowledge(self, tag: str) -> None:
        """Acknowledge a message. A Redis that is full takes it, too, unlike kombu's MULTI."""
        self._run("store/outbox/acknowledge", [self.unacked_key, self.unacked_index_key], [tag])

    def give_back(self, tags: list[str]) -> None:
        """Give messages back, the first of ``tags`` first. A message given back later goes before an earlier one."""
        self._run("worker/fetching/give_back", [self.unacked_key, self.unacked_index_key], tags)

    def redeliver(self, limit: int) -> int:
        """Give out again messages that were not acknowledged for the visibility time-out. Return their number."""
        of_messages = [self.unacked_key, self.unacked_index_key]
        return int(self._run("worker/fetching/redeliver", of_messages, [self.visibility_timeout, limit]))

    def renew(self, tags: list[str]) -> None:
        """Record that messages are still in hand."""
        self._run("worker/fetching/renew", [self.unacked_index_key], tags)

    def close(self) -> None:
        if self._in_poll and self._fetching is None:
            self._in_poll = None  # the command only waits: nothing is lost with its answer
        super().close()

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> None:
        if no_ack:
            self._no_ack.add(queue)
        super().basic_consume(queue, no_ack, *args, **kwargs)

    def _brpop_start(self, timeout: float | None = None) -> None:  # noqa: ARG002 - kombu passes it
        """Send a fetch, or the command that waits for a message if the latest fetch found nothing."""
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
            # after this disconnect the worker connects anew: to a Redis that takes writes, if there is one
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
        """Return a priority whose list every consumer reads."""
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
                # the queue was paused meanwhile: the message goes back to its place
                late.append(raw["properties"]["delivery_tag"])
            else:
                self._queue_cycle.rotate(queue)
                self.connection._deliver(raw, queue)
        if late:
            self.give_back(late[::-1])

    def _read(
        self, found: list[Any], lists: list[tuple[str, str]], tags: list[str]
    ) -> Iterable[tuple[str, dict[str, Any]]]:
        """Yield queue and message of each entry that a fetch took."""
        for number, content, tag in zip(found[::2], found[1::2], tags, strict=False):
            self._last = lists[number]
            queue = self._last[1]
            try:
                raw = loads(content.decode())
                raw["properties"]["delivery_tag"] = tag
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                # no client with kombu put the entry there, so it can be no check
                what = f"{len(content)} bytes that are no message of kombu's ({type(error).__name__})"
                log.error("message_dropped", what, queue=queue)  # noqa: TRY400 - the error's text could quote the message
                if (tell := type(self).on_no_message) is not None:
                    tell(queue)
                self.acknowledge(tag)
                continue
            if queue in self._no_ack:
                # else the broker would give it out again when its time is over, to nobody
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
    """The transport for ``redis://`` and ``rediss://`` brokers.

    A worker whose Redis takes no writes for a while connects anew. With kombu's list of errors the worker would end.
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
    """Make this process use :class:`Transport` for each Redis broker. Call this before the first connection.

    ``on_no_message`` is called with the queue of each entry that is no message of kombu's, and is dropped.

    The transport replaces an alias: set by name it would change the broker's URL, which Flower's page would not know.
    """
    for scheme in SCHEMES:
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
    Channel.on_no_message = on_no_message and staticmethod(on_no_message)
