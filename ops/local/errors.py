"""The errors of a local system that cannot start, or that ends.

::

    LocalError
     ├── ProcessFailed   a process could not be started, ended by itself, or was not ready in time
     ├── NoRedisServer   there is no Redis to embed
     ├── RedisSilent     the Redis of the settings does not answer
     ├── NoFreePort      no port is free
     └── PortTaken       the port that was asked for is not free
"""

from __future__ import annotations


class LocalError(Exception):
    """The local system could not be started, or has ended. The message says why and what to do."""


class ProcessFailed(LocalError):
    """A process could not be started, ended by itself, or was not ready in time. The message has its last lines."""


class NoRedisServer(LocalError):
    """No Redis to embed: install redis-server or valkey-server, or set WXCHECK_REDIS_URL to a running one."""


class RedisSilent(LocalError):
    """The Redis of the settings does not answer. Start it, or leave WXCHECK_REDIS_URL out."""


class NoFreePort(LocalError):
    """Every port that was tried is taken."""


class PortTaken(LocalError):
    """The port that was asked for is taken. End what listens there, or ask for another one."""
