"""A socket to serve on."""

from __future__ import annotations

import socket


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
