"""HTTP, for a listener that strangers reach: what one connection may hold, and for how long, has an end.

uvicorn's protocol on httptools, a fifth of the work of the one on h11, sets no bounds of its own. Here

* a connection is closed whose first byte, whose whole head, or whose next request does not come in time, and one whose
  client does not take the answer;
* those that wait so are half of the connections at most: for a new one the one is closed that has waited longest,
  before others one that had its answer, so that whoever opens connections and says nothing takes no place from those
  who do;
* a head, and whatever else of a request is no body (trailers, chunk extensions), has at most ``MAX_HEAD`` bytes;
* of requests that are sent before the answers to those before them, few wait (``MAX_AHEAD``).

Bodies are bounded by who reads them (:mod:`callbacks.body`).
"""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from callbacks.bounded_log import BoundedLog
from config.logs import Log

#: seconds to the first byte of the first request; who connects has something to say
FIRST_BYTE_SECONDS = 3.0
#: seconds from the first byte of a head to its last
HEAD_SECONDS = 5.0
#: seconds for which an answer may wait for a client that takes none of it
UNREAD_SECONDS = 5.0
#: bytes of a request's head; the platform's has about 500
MAX_HEAD = 16_384
#: requests of one connection that wait for the answer to another; each has some KB, and one read brings thousands
MAX_AHEAD = 16
#: connections that wait, where the server sets no limit of its own
_MAX_WAITING = 1000

log = Log(__name__)


class _Unbounded(Exception):
    """A request goes beyond what one connection may hold. The parser stops, and it is answered 400."""


class _Joined:
    """What an answer is written to: its head goes out with the first bytes of its body, in one system call."""

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
    """The connections of one server that wait for their client, those first that have waited longest."""

    def __init__(self, most: int) -> None:
        self._most = most
        #: those that had an answer, or don't take one, go before those that have said nothing yet
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
    """uvicorn's, within these bounds."""

    #: by when something has to come of the client, in the loop's time; None while a request is under way
    _due: float | None = None
    _timer: asyncio.TimerHandle | None = None
    #: whether the head that is waited for has begun
    _in_head = False
    #: bytes since the last one that brought a request on; in a head, its bytes so far
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
        """Close the connection, at once where the client does not take what was written."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self._without_progress += len(data)
        if self._due is not None and not self._in_head:
            # it keeps its place among those that wait: a byte is cheap
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
        # what came with it may be its body, so it is counted where there is reason to
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
        super().on_response_complete()  # begins the next one, where its head is here already
        if self.cycle.response_complete and not self.flow.write_paused:
            self._wait(self.timeout_keep_alive)

    def _wait(self, seconds: float) -> None:
        """From now on it is the client's turn."""
        self._in_head = False
        self._due = self.loop.time() + seconds
        self._waiting.add(self)

    def _work(self) -> None:
        self._due = None
        self._waiting.remove(self)

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _look(self) -> None:
        # one timer a connection, which looks now and then: one for each request would cost more than its parsing
        now = self.loop.time()
        if self.transport.is_closing():
            # what was written is still to go
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
