"""What a Redis had to do, and what it keeps, asked of the server itself."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ops.local.redis_server import find_server

#: commands that run a script: a limiter is called by one of these
SCRIPT_CALLS = ("eval", "evalsha", "eval_ro", "evalsha_ro", "fcall", "fcall_ro")
#: of connecting and of the bench's own looks, not of the work that is measured
_NOT_COUNTED = ("info", "memory", "scan", "ping", "client", "hello", "config", "command", "auth", "select", "script")

#: seconds for one answer
_TIMEOUT = 5.0


@dataclass(frozen=True)
class Load:
    """Counts since the server's start."""

    #: calls by the command's name, those from within scripts included
    commands: dict[str, int] = field(default_factory=dict)
    #: the server's CPU time, in seconds
    cpu: float = 0.0

    def since(self, before: Load) -> Load:
        counted = {name: number - before.commands.get(name, 0) for name, number in self.commands.items()}
        return Load({name: number for name, number in counted.items() if number}, self.cpu - before.cpu)

    @property
    def total(self) -> int:
        return sum(self.commands.values())

    @property
    def script_calls(self) -> int:
        return sum(self.commands.get(name, 0) for name in SCRIPT_CALLS)


def connect(url: str) -> Redis:
    """A client that gives up at once."""
    client: Redis = Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=_TIMEOUT,
        socket_connect_timeout=_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )
    return client


def load(client: Redis) -> Load:
    """The load of the server so far."""
    commands: dict[str, int] = {}
    stats: dict[str, Any] = client.info("commandstats")
    for name, numbers in stats.items():
        command = name.removeprefix("cmdstat_").partition("|")[0].lower()
        if command not in _NOT_COUNTED:
            commands[command] = commands.get(command, 0) + int(numbers["calls"])
    cpu: dict[str, Any] = client.info("cpu")
    return Load(commands, float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"]))


def state_bytes(client: Redis, patterns: Iterable[str]) -> int:
    """The bytes that the keys of ``patterns`` take, with their names."""
    keys = {key for pattern in patterns for key in client.scan_iter(match=pattern, count=1000)}
    return sum(client.memory_usage(key, samples=0) or 0 for key in keys)


def version(client: Redis) -> str:
    """The server's name and version: "Valkey 9.1.0"."""
    server: dict[str, Any] = client.info("server")
    if "valkey_version" in server:
        return f"Valkey {server['valkey_version']}"
    return f"Redis {server.get('redis_version', '?')}"


def own_version() -> str:
    """Name and version of the server that is embedded here: "Valkey 9.1.0"."""
    said = subprocess.run([find_server(), "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    name = "Valkey" if "alkey" in said else "Redis"
    found = re.search(r"v=(\S+)", said)
    return f"{name} {found[1] if found else '?'}"
