"""A socket to serve on, and a server that tells its URL once it listens."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn


class CannotListen(Exception):
    """No socket can listen there; the message names the address and the reason."""


def listen(host: str, port: int) -> socket.socket:
    """Listen at ``port`` of ``host``, a name or an address.

    Raises:
        CannotListen: the address is unknown, taken or not allowed.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        why = (error.strerror or type(error).__name__).partition(" (")[0]
        raise CannotListen(f"cannot listen on {host}, port {port}: {why}") from None


class AnnouncedServer(uvicorn.Server):
    """A server that calls ``announce`` with its URL once it listens; with port 0 nobody knows the port before."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[str], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        self._announce(f"http://{f'[{host}]' if ':' in host else host}:{port}")
