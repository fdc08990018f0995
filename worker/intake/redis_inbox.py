"""The inbox of a Redis broker: the lists of its queues, in which a message is never lost.

One script takes a message and records it as unacknowledged (``worker/intake/fetch.lua``), and if the broker is the
store, the step that files it strikes it off. A worker that dies in between leaves it there, and after LEFT seconds any
worker gives it out again.

An empty inbox is looked at every LOOK seconds, and at once when something comes: for each queue a thread waits with a
BLMOVE from a list to itself, which moves nothing.
"""

from __future__ import annotations

import base64
import json
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from kombu import Message
from redis.exceptions import RedisError

from config.broker_lists import PRIORITIES, list_of
from config.celery import SOCKET_TIMEOUT
from config.logs import Log
from config.names import UNACKED, UNACKED_INDEX
from store.connection import connect
from store.places.places import BATCH
from store.scripts import script
from worker.intake.inbox import Inbox
from worker.intake.intake import Received
from worker.intake.reading import JSON, UTF8, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from worker.intake.intake import Intake

log = Log(__name__)

#: seconds between two looks at an empty inbox: only one list of a queue wakes the worker
LOOK = 0.1
#: seconds for which a thread waits for a list
WAIT = 5.0
#: seconds after which a message that is not filed is given out again, and seconds between two looks for such messages
LEFT, LEFT_INTERVAL = 10.0, 5.0
#: messages that are given out again in one step
GIVEN_OUT = 100
#: by the encodings of a body that kombu writes, beside plain text
_DECODERS: dict[str, Callable[[Any], bytes]] = {"base64": base64.b64decode}


class RedisInbox(Inbox):
    """Reads the queues of a Redis broker."""

    def __init__(self, url: str, intake: Intake) -> None:
        super().__init__(intake)
        self._url = url
        # without text: anything may lie in a list
        self._redis = connect(url, SOCKET_TIMEOUT, retries=0, text=False)
        self._fetch = script(self._redis, "worker/intake/fetch")
        self._redeliver = script(self._redis, "worker/intake/redeliver")
        self._waiting: dict[str, _Waiting] = {}
        self._work = threading.Event()
        self._left_at = 0.0
        #: number of looks
        self._turn = 0

    def stop(self, seconds: float) -> None:
        self._stopped.set()
        self._work.set()
        super().stop(seconds)
        for waiting in self._waiting.values():
            waiting.stop()

    def _read_on(self) -> None:
        while not self._stopped.is_set():
            queues = self._queues
            self._wait_for(queues)
            found = self._look(queues)
            self._is_away = False
            if not found:
                self._sleep()

    def _wait_for(self, queues: Sequence[str]) -> None:
        for queue in self._waiting.keys() - set(queues):
            self._waiting.pop(queue).stop()
        for queue in queues:
            if queue not in self._waiting:
                self._waiting[queue] = _Waiting(self._url, queue, self._work)

    def _sleep(self) -> None:
        """Sleep until something may have come."""
        self._work.clear()
        for waiting in self._waiting.values():
            waiting.go_on()
        self._work.wait(LOOK)

    def _look(self, queues: Sequence[str]) -> bool:
        """Take in a batch. Return False if there was nothing."""
        if time.monotonic() >= self._left_at:
            self._give_out_again()
        if not queues:
            return False
        # no queue is always the first
        self._turn += 1
        first = self._turn % len(queues)
        in_turn = [*queues[first:], *queues[:first]]
        lists = [(list_of(queue, priority), queue) for priority in PRIORITIES for queue in in_turn]
        tags = [uuid.uuid4().hex for _ in range(BATCH)]
        found = self._fetch(keys=[UNACKED, UNACKED_INDEX, *(name for name, _ in lists)], args=tags)
        if not found:
            return False
        received = list(self._read(found, lists, tags))
        outcome = self._take_in(received)
        if outcome is not None:
            others = [one.tag for one in received if one.tag not in outcome.kept]
            gone = outcome.dropped if self._intake.in_one_step else others
            if gone:
                self._strike_off(gone)
        return True

    def _strike_off(self, tags: Sequence[str]) -> None:
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.hdel(UNACKED, *tags)
            pipe.zrem(UNACKED_INDEX, *tags)
            pipe.execute()

    def _give_out_again(self) -> None:
        found = int(self._redeliver(keys=[UNACKED, UNACKED_INDEX], args=[LEFT, GIVEN_OUT]))
        if found:
            log.warning("messages_redelivered", f"{found} that nobody had filed for {LEFT:.0f} s", count=found)
        if found < GIVEN_OUT:
            self._left_at = time.monotonic() + LEFT_INTERVAL

    def _read(self, found: Sequence[Any], lists: Sequence[tuple[str, str]], tags: Sequence[str]) -> Iterable[Received]:
        """Yield the messages of a fetch. What is no message is struck off."""
        for number, content, tag in zip(found[::2], found[1::2], tags, strict=False):
            name, queue = lists[number]
            self._waiting[queue].name = name
            try:
                message = _message(json.loads(content.decode()))
            except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
                # no client with kombu put it there, so it can be no check
                said = f"{len(content)} bytes that are no message of kombu's ({type(error).__name__})"
                self._intake.drop(queue, Unreadable("no_message", said))
                self._strike_off([tag])
            else:
                yield Received(message, queue, tag)


def _message(raw: dict[str, Any]) -> Message:
    """Return kombu's message. ``fault`` of a message with a body that cannot be decoded is an Unreadable."""
    body, headers, properties = raw.get("body"), raw.get("headers"), raw["properties"]
    encoding, fault = properties.get("body_encoding"), None
    try:
        if encoding not in (None, "", UTF8):
            body = _DECODERS[encoding](body)
    except (LookupError, TypeError, ValueError):
        said = "its body is not encoded as its properties say, of which base64 and none are read; send it with Celery"
        body, fault = None, Unreadable("encoding", said)
    message = Message(
        body=body,
        content_type=raw.get("content-type"),
        content_encoding=raw.get("content-encoding"),
        headers=headers if isinstance(headers, dict) else {},
        properties=properties,
        postencode=UTF8,
        accept={JSON},
    )
    message.fault = fault
    return message


class _Waiting:
    """Waits for one queue, in a thread of its own, and then sets an event."""

    def __init__(self, url: str, queue: str, work: threading.Event) -> None:
        #: the list that had messages last
        self.name = queue
        self._work = work
        self._redis = connect(url, WAIT + SOCKET_TIMEOUT, retries=0, text=False)
        self._is_empty = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=f"inbox {queue}", daemon=True)
        self._thread.start()

    def go_on(self) -> None:
        """Wait again, since the queue was found empty."""
        self._is_empty.set()

    def stop(self) -> None:
        self._stopped = True
        self._is_empty.set()

    def _run(self) -> None:
        while True:
            self._is_empty.wait()
            if self._stopped:
                return
            try:
                found = self._redis.blmove(self.name, self.name, WAIT, "RIGHT", "RIGHT")  # type: ignore[arg-type]
            except RedisError:
                # the inbox says so; and a Redis that is full, or has something else there, refuses to wait
                time.sleep(LOOK)
                continue
            if found is not None:
                self._is_empty.clear()
                self._work.set()
