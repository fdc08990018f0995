"""Where the store, the broker and the results are: each arrangement that the README allows, with real servers.

A :class:`tests.support.system.System` is started on one of them: ``System(directory, topology="rabbitmq")``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Protocol

from local.redis_server import answers, embedded_redis
from tests.support.ports import free_port
from tests.support.processes import Running, eventually
from tests.support.rabbitmq import RabbitMQ, needs_rabbitmq


class Servers(NamedTuple):
    """The URLs of one arrangement beside the store's own; empty: the store's Redis."""

    broker: str = ""
    results: str = ""
    #: the node, where the broker is RabbitMQ
    rabbitmq: RabbitMQ | None = None


class Starts(Protocol):
    """Starts one more server, which ends with the system."""

    def __call__(self, name: str) -> str:
        """The URL of a new Redis."""


def another_redis(name: str, directory: Path, stack: ExitStack, options: list[str]) -> str:
    """Starts a Redis of its own, in a folder of its own; its URL."""
    place = directory / name
    place.mkdir()
    server = embedded_redis(free_port(), place)
    running = Running(name, [*server.command, *options], {}, directory)
    stack.callback(running.kill)
    eventually(lambda: answers(server.url), f"{name} answers")
    return server.url


def _database(url: str, number: int) -> str:
    return f"{url.removesuffix('/0')}/{number}"


def _one_redis(_store: str, _redis: Starts) -> Servers:
    return Servers()


def _broker_apart(_store: str, redis: Starts) -> Servers:
    return Servers(broker=redis("redis-broker"))


def _results_apart(_store: str, redis: Starts) -> Servers:
    return Servers(results=redis("redis-results"))


def _all_apart(_store: str, redis: Starts) -> Servers:
    return Servers(broker=redis("redis-broker"), results=redis("redis-results"))


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
        return Servers(broker=node.url, rabbitmq=node)

    def redis(place: str) -> str:
        return another_redis(place, directory, stack, redis_options or [])

    return TOPOLOGIES[name](store, redis)


def store_of(name: str, url: str) -> str:
    """The store's URL in arrangement ``name``, on the Redis at ``url``."""
    return _database(url, 1) if name == "databases" else url
