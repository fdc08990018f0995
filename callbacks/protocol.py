"""HTTP, for a listener that strangers reach: what one connection may hold, and for how long, has an end.

uvicorn's protocol on httptools, a fifth of the work of the one on h11, sets no bounds of its own. Here

* a connection on which no whole head comes is closed (``HEAD_SECONDS``), before the first request as between two;
* a head, and whatever else of a request is no body (trailers, chunk extensions), has at most ``MAX_HEAD`` bytes;
* of requests that are sent before the answers to those before them, few wait (``MAX_AHEAD``).

Bodies are bounded by who reads them (:mod:`callbacks.body`).
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: seconds for the head of a request to come, from when the connection is there, or the answer before it
HEAD_SECONDS = 10.0
#: bytes of a request's head; the platform's has about 500
MAX_HEAD = 16_384
#: requests of one connection that wait for the answer to another; each has some KB, and one read brings thousands
MAX_AHEAD = 16


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


class Protocol(HttpToolsProtocol):
    """uvicorn's, within these bounds."""

    #: when the connection began to wait for a head, in the loop's time; None while a request is under way
    _waits_since: float | None = None
    _head_timer: asyncio.TimerHandle | None = None
    #: bytes since the last one that brought a request on; in a head, its bytes so far
    _without_progress = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._joined = _Joined(transport)
        self._waits_since = self.loop.time()
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._look_for_head)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._without_progress += len(data)
        super().data_received(data)
        if self._without_progress > MAX_HEAD:
            self.send_400_response("Too many bytes that are no body.")

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MAX_AHEAD:
            raise _Unbounded
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        # what came with it may be its body, so it is counted where there is reason to
        if self._without_progress > MAX_HEAD and self._head_size() > MAX_HEAD:
            raise _Unbounded
        self._without_progress = 0
        self._waits_since = None
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
        if self.cycle.response_complete:
            self._waits_since = self.loop.time()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _look_for_head(self) -> None:
        # one timer a connection, which looks now and then: one for each request would cost more than its parsing
        if self.transport.is_closing():
            return
        now = self.loop.time()
        since = now if self._waits_since is None else self._waits_since
        if now - since >= HEAD_SECONDS:
            self.transport.close()
        else:
            self._head_timer = self.loop.call_at(since + HEAD_SECONDS, self._look_for_head)
