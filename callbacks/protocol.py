"""HTTP, for a listener that strangers reach: a connection on which no request comes is not kept."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

#: seconds for the head of a request to come, from when the connection is there, or the answer before it
HEAD_SECONDS = 10.0


class Protocol(H11Protocol):
    """uvicorn's, which waits without end for the first request, and for the rest of a head that was begun."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head(self.cycle)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        answered = self.cycle
        super().on_response_complete()  # begins the next one, where its head is here already
        if not self.transport.is_closing():
            self._await_head(answered)

    def _await_head(self, answered: object) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late, answered)

    def _head_is_late(self, last_cycle: object) -> None:
        # each request has a cycle of its own
        if self.cycle is last_cycle and not self.transport.is_closing():
            self.transport.close()
