"""The transport below the answers: bodies of bounded size, and connections that are closed without an answer."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

#: most bytes of a body; well beyond the 500 KB of a v1 text
MAX_BODY = 4 * 1024 * 1024

#: open connections by the address of their other end, so that one can be closed without an answer
_connections: dict[Any, asyncio.Transport] = {}


class Protocol(H11Protocol):
    """uvicorn's HTTP, with a way to close a connection without an answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._peer = transport.get_extra_info("peername")
        _connections[self._peer[:2]] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        _connections.pop(self._peer[:2], None)
        super().connection_lost(exc)


class NoAnswer(Response):
    """A response that closes the connection without an answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        transport = _connections.get(tuple(scope["client"]))
        if transport is None:  # another server than this one: a test client, for instance
            raise ConnectionResetError("the sandbox closed this connection on purpose")
        transport.abort()
        await receive()  # wait until uvicorn notices: it would answer 500 into the void


async def read_request(request: Request) -> bytes:
    """Return the body of a request.

    Raises:
        HTTPException: 413 if the body is over 4 MiB, 400 if the caller went away half way.
    """
    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > MAX_BODY:
                raise HTTPException(413)
            chunks.append(chunk)
    except ClientDisconnect:
        raise HTTPException(400) from None
    return b"".join(chunks)
