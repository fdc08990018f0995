"""Free ports of this machine."""

from __future__ import annotations

import errno
import random
import socket

from ops.local.errors import NoFreePort

#: below the ports that Linux, macOS and Windows hand to outgoing connections: none of these takes a port between the
#: look at it and its use
_LOWEST, _HIGHEST = 20_000, 32_000
#: by this process
_given: set[int] = set()


def free_port() -> int:
    """Return a TCP port between 20000 and 32000 that nobody listens on at 127.0.0.1.

    Each is returned once: whoever was given it may not listen yet.
    """
    for _ in range(100):
        port = random.randint(_LOWEST, _HIGHEST)  # noqa: S311 - so that two who look at the same time differ
        if port not in _given and is_free("127.0.0.1", port):
            _given.add(port)
            return port
    raise NoFreePort(f"100 ports between {_LOWEST} and {_HIGHEST} were tried, and all are taken")


def is_free(host: str, port: int) -> bool:
    """True if a server could listen at ``port`` of ``host`` now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Servers do the same: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True
