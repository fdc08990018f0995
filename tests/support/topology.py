"""Each arrangement of store, broker and results that docs/guarantees.md allows, with real servers.

A :class:`tests.support.system.System` is started on one of them: ``System(directory, topology="rabbitmq")``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Protocol

from ops.local.redis_server import answers, embedded_redis
from tests.support.ports import free_port
from tests.support.processes import Running, eventually
from tests.support.rabbitmq import RabbitMQ, needs_rabbitmq


class Server(Protocol):
    """A server apart from the store's; started again, it has what it kept."""

    def kill(self) -> None: ...
    def restart(self) -> None: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...


class AnotherRedis:
    """A further Redis, in a folder of its own; ends with ``stack``."""

    def __init__(self, name: str, directory: Path, stack: ExitStack, options: list[str]) -> None:
        self._name = name
        self._directory = directory
        self._stack = stack
        place = directory / name
        place.mkdir()
        server = embedded_redis(free_port(), place)
        self.url = server.url
        self._command = [*server.command, *options]
        self.restart()

    def restart(self) -> None:
        self._running = Running(self._name, self._command, {}, self._directory)
        self._stack.callback(self._running.kill)
        eventually(lambda: answers(self.url), f"{self._name} answers")

    def kill(self) -> None:
        self._running.kill()

    def freeze(self) -> None:
        self._running.freeze()

    def thaw(self) -> None:
        self._running.thaw()


class Servers(NamedTuple):
    """The URLs of one arrangement beside the store's own; empty: the store's Redis."""

    broker: str = ""
    results: str = ""
    #: the broker's own server, where it has one
    broker_server: Server | None = None
    #: the same, where it is RabbitMQ
    rabbitmq: RabbitMQ | None = None


#: starts one more Redis of that name
Starts = Callable[[str], AnotherRedis]


def _database(url: str, number: int) -> str:
    return f"{url.removesuffix('/0')}/{number}"


def _one_redis(_store: str, _redis: Starts) -> Servers:
    return Servers()


def _broker_apart(_store: str, redis: Starts) -> Servers:
    broker = redis("redis-broker")
    return Servers(broker=broker.url, broker_server=broker)


def _results_apart(_store: str, redis: Starts) -> Servers:
    return Servers(results=redis("redis-results").url)


def _all_apart(_store: str, redis: Starts) -> Servers:
    broker = redis("redis-broker")
    return Servers(broker=broker.url, results=redis("redis-results").url, broker_server=broker)


def _databases(store: str, _redis: Starts) -> Servers:
    return Servers(broker=_database(store, 2), results=_database(store, 3))


TOPOLOGIES: dict[str, Callable[[str, Starts], Servers]] = {
    "one Redis": _one_redis,
    "broker apart": _broker_apart,
    "results apart": _results_apart,
    "all apart": _all_apart,
    "databases": _databases,
}

#: every arrangement, in the order in which the documents list them
NAMES = (*TOPOLOGIES, "RabbitMQ")
#: those whose broker is a server of its own
BROKER_APART = ("broker apart", "all apart", "RabbitMQ")


def start_servers(
    name: str, store: str, directory: Path, stack: ExitStack, redis_options: list[str] | None = None
) -> Servers:
    """Starts what arrangement ``name`` needs beside the ``store``, the URL of a Redis that runs; ends with ``stack``.

    ``redis_options``: what each further Redis is started with.
    """
    if name == "RabbitMQ":
        needs_rabbitmq()
        node = RabbitMQ(directory)
        stack.callback(node.close)
        return Servers(broker=node.url, broker_server=node, rabbitmq=node)

    def redis(place: str) -> AnotherRedis:
        return AnotherRedis(place, directory, stack, redis_options or [])

    return TOPOLOGIES[name](store, redis)


def store_of(name: str, url: str) -> str:
    """The store's URL in arrangement ``name``, on the Redis at ``url``."""
    return _database(url, 1) if name == "databases" else url
