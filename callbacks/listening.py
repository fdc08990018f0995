"""A socket to serve on."""

from __future__ import annotations

import socket


class CannotListen(Exception):
    """Nobody can listen there; the message says where and why."""


def listen(host: str, port: int) -> socket.socket:
    """Listens at ``port`` of ``host``, a name or an address.

    Raises:
        CannotListen.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        why = (error.strerror or type(error).__name__).partition(" (")[0]
        raise CannotListen(f"cannot listen on {host}, port {port}: {why}") from None
