"""HTTP for a listener that strangers reach: a connection's size and time have bounds.

uvicorn's protocol on httptools needs a fifth of the work of the one on h11, and sets no bounds of its own. Here

* a connection is closed if its first byte, its whole head or its next request does not come in time, or if its client
  does not take the answer;
* at most half of the connections may wait for their client. A new one closes the connection that has waited longest,
  first among those that had an answer. So clients that connect and stay silent take no place from others;
* a head, and every other part of a request but the body (trailers, chunk extensions), has at most ``MAX_HEAD`` bytes;
* few requests (``MAX_AHEAD``) may be sent ahead of the answers to the requests before them.

:mod:`callbacks.body` bounds the bodies.
"""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from callbacks.bounded_log import BoundedLog
from config.logs import Log

#: seconds to the first byte of the first request; a client that connects has something to say
FIRST_BYTE_SECONDS = 3.0
#: seconds from the first byte of a head to its last
HEAD_SECONDS = 5.0
#: seconds that an answer waits for a client that takes none of it
UNREAD_SECONDS = 5.0
#: bytes of a request's head; the platform's has about 500
MAX_HEAD = 16_384
#: requests of a connection that wait for the answer to another; each holds some KB, and one read may bring thousands
MAX_AHEAD = 16
#: connections that may wait, if the server sets no limit of its own
_MAX_WAITING = 1000

log = Log(__name__)


class _Unbounded(Exception):
    """A request exceeds the bounds of a connection. The parser stops, and the answer is 400."""


class _Joined:
    """The transport of an answer: the head goes out with the first bytes of the body, in one system call."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        if not self._head and data.startswith(b"HTTP/") and not data.startswith(b"HTTP/1.1 100 "):
            self._head = data
        else:
            self._transport.write(self._head + data)
            self._head = b""

    def close(self) -> None:
        if self._head:
            self.write(b"")
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()


class _Waiting:
    """The connections of one server that wait for their client, the longest wait first."""

    def __init__(self, most: int) -> None:
        self._most = most
        #: connections that had an answer, or do not take one, close before connections that have said nothing yet
        self._served: dict[Protocol, None] = {}
        self._new: dict[Protocol, None] = {}
        self._warnings = BoundedLog(log)

    def add(self, connection: Protocol) -> None:
        self.remove(connection)
        (self._new if connection.cycle is None else self._served)[connection] = None
        if len(self._new) + len(self._served) > self._most:
            oldest = next(iter(self._served or self._new))
            self.remove(oldest)
            oldest.drop()
            said = f"more than {self._most} connections wait for their client; whichever waits longest is closed"
            self._warnings.warning("connections_crowded", said)

    def remove(self, connection: Protocol) -> None:
        self._new.pop(connection, None)
        self._served.pop(connection, None)


_WAITING: WeakKeyDictionary[ServerState, _Waiting] = WeakKeyDictionary()


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol within the bounds of this module."""

    #: the loop's time by which the client must send or take something; None while a request is under way
    _due: float | None = None
    _timer: asyncio.TimerHandle | None = None
    #: the awaited head has begun
    _in_head = False
    #: bytes since the last progress of a request; within a head, the head's bytes so far
    _without_progress = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        waiting = _WAITING.get(self.server_state)
        if waiting is None:
            most = self.limit_concurrency // 2 if self.limit_concurrency else _MAX_WAITING
            waiting = _WAITING[self.server_state] = _Waiting(most)
        self._waiting = waiting

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._joined = _Joined(transport)
        self._wait(FIRST_BYTE_SECONDS)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._waiting.remove(self)
        super().connection_lost(exc)

    def drop(self) -> None:
        """Close the connection, at once if the client does not take what was written."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self._without_progress += len(data)
        if self._due is not None and not self._in_head:
            # the connection keeps its place among the waiting ones: a byte is cheap
            self._in_head = True
            self._due = self.loop.time() + HEAD_SECONDS
        super().data_received(data)
        if self._without_progress > MAX_HEAD:
            self.send_400_response("Too many bytes that are no body.")

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait(UNREAD_SECONDS)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.cycle is None or self.cycle.response_complete:
            self._wait(self.timeout_keep_alive)
        else:
            self._work()

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MAX_AHEAD:
            raise _Unbounded
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        # the same read may hold bytes of the body, so the head is measured only if the sum is too large
        if self._without_progress > MAX_HEAD and self._head_size() > MAX_HEAD:
            raise _Unbounded
        self._without_progress = 0
        if not self.flow.write_paused:
            self._work()
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            self.cycle.transport = self._joined  # type: ignore[assignment]  # a cycle needs no more of it

    def on_body(self, body: bytes) -> None:
        self._without_progress = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._without_progress = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()  # begins the next request, if its head is here already
        if self.cycle.response_complete and not self.flow.write_paused:
            self._wait(self.timeout_keep_alive)

    def _wait(self, seconds: float) -> None:
        """Give the client its turn, for ``seconds``."""
        self._in_head = False
        self._due = self.loop.time() + seconds
        self._waiting.add(self)

    def _work(self) -> None:
        self._due = None
        self._waiting.remove(self)

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _look(self) -> None:
        # a timer a connection, which looks now and then: a timer for each request would cost more than its parsing
        now = self.loop.time()
        if self.transport.is_closing():
            # written bytes are still on their way
            if self._due is None:
                self._due = now + UNREAD_SECONDS
            elif now >= self._due:
                self.transport.abort()
                return
        elif self._due is not None and now >= self._due:
            self.drop()
            self._due = now + UNREAD_SECONDS
        again = now + FIRST_BYTE_SECONDS
        self._timer = self.loop.call_at(again if self._due is None else min(self._due, again), self._look)
