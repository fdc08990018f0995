"""A client of kept-alive HTTP connections on asyncio's bare protocol, for requests that are made beforehand."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

#: told the HTTP status; 0: the connection was closed, or there was none
Done = Callable[[int], None]


class Connections:
    """At most ``size`` connections to a server; a request waits where all are busy."""

    def __init__(self, host: str, port: int, size: int) -> None:
        self._host = host
        self._port = port
        self._size = size
        self._open = 0
        self._idle: list[_Connection] = []
        self._waiting: deque[tuple[bytes, Done]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, request: bytes, done: Done) -> None:
        """Sends a request as soon as a connection is free."""
        if self._idle:
            self._idle.pop().send(request, done)
            return
        self._waiting.append((request, done))
        if self._open < self._size:
            self._open += 1
            task = asyncio.get_running_loop().create_task(self._connect())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def free(self, connection: _Connection) -> None:
        """Takes a connection back that has its answer."""
        if self._waiting:
            connection.send(*self._waiting.popleft())
        else:
            self._idle.append(connection)

    def lost(self, connection: _Connection) -> None:
        """Forgets a connection that was closed."""
        self._open -= 1
        if connection in self._idle:
            self._idle.remove(connection)

    async def _connect(self) -> None:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self), self._host, self._port
            )
        except OSError:
            self._open -= 1
            while self._waiting:
                self._waiting.popleft()[1](0)
            return
        self.free(connection)


class _Connection(asyncio.Protocol):
    def __init__(self, owner: Connections) -> None:
        self._owner = owner
        self._received = b""
        self._request = b""
        self._done: Done | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a TCP client it is one
        self._transport = transport

    def send(self, request: bytes, done: Done) -> None:
        self._request, self._done = request, done
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found or len(rest) < _length(head) or self._done is None:
            return
        done, self._done, self._received = self._done, None, b""
        done(int(head[9:12]))
        self._owner.free(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio passes it
        self._owner.lost(self)
        if (done := self._done) is None:
            return
        if self._received:
            done(0)
        else:
            # the server closed it while it was idle; it has not read the request
            self._owner.send(self._request, done)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
