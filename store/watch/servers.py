"""The store, broker and result backend of a process, so that others can compare theirs.

A URL proves nothing, since a server may have several names. A database of a Redis is recognised by a mark that the
first process leaves in it, RabbitMQ by the name of its cluster and the virtual host.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from kombu import Connection

from config.redis_url import is_redis, place
from store import keys
from store.connection import connect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from redis import Redis

    from config.settings import Settings

#: seconds for connecting, and for an answer
PATIENCE = 2.0
#: seconds for which a silent server is not asked again
AWAY = 30.0

ROLES = ("store", "broker", "results")


class Server(NamedTuple):
    """A server of a process."""

    #: URL without user and password
    place: str
    #: the same for all processes with the same server; None if the server did not answer
    mark: str | None = None


class Servers:
    """The servers of one process. Not safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._urls = dict(zip(ROLES, (settings.redis_url, settings.broker, settings.backend), strict=True))
        self._clients = {url: connect(url, PATIENCE, retries=0) for url in self._urls.values() if is_redis(url)}
        self._clusters: dict[str, str] = {}
        self._away_until: dict[str, float] = {}

    def told(self) -> dict[str, Server]:
        """Return the servers by role."""
        marks = {url: self._mark(url) for url in dict.fromkeys(self._urls.values())}
        return {role: Server(place(url), marks[url]) for role, url in self._urls.items()}

    def _mark(self, url: str) -> str | None:
        if time.monotonic() < self._away_until.get(url, 0.0):
            return None
        try:
            if url in self._clients:
                return _mark_of_redis(self._clients[url])
            if url.startswith(("amqp:", "pyamqp:")):
                return self._mark_of_rabbitmq(url)
        except Exception:  # noqa: BLE001 - who needs the server says what is wrong with it
            self._away_until[url] = time.monotonic() + AWAY
        return None

    def _mark_of_rabbitmq(self, url: str) -> str:
        if url not in self._clusters:
            with Connection(url, connect_timeout=PATIENCE) as connection:
                connection.ensure_connection(max_retries=0, timeout=PATIENCE)
                said = connection.connection.server_properties["cluster_name"]
                self._clusters[url] = f"{said}/{connection.virtual_host}"
        return self._clusters[url]


def _mark_of_redis(client: Redis) -> str:
    with client.pipeline(transaction=False) as pipe:
        pipe.set(keys.SERVER, uuid.uuid4().hex, nx=True)
        pipe.get(keys.SERVER)
        _, mark = pipe.execute()
    return str(mark)


def differing(processes: Mapping[str, Mapping[str, Server]]) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Yield each role for which processes have different servers, with the names of the processes by place. Pure.

    ``processes``: name of a process -> its servers. A server that did not answer is left out: its place may be another
    name of the same server.
    """
    for role in ROLES:
        having: dict[str, list[str]] = defaultdict(list)
        places: dict[str, str] = {}
        for name, servers in processes.items():
            server = servers.get(role)
            if server is not None and server.mark is not None:
                having[server.mark].append(name)
                places.setdefault(server.mark, server.place)
        if len(having) > 1:
            yield role, _by_place(places, having)


def _by_place(places: Mapping[str, str], having: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    by_place: dict[str, list[str]] = {}
    for mark, names in having.items():
        # two servers with one name, in different networks: loopback, most often
        shown = places[mark] if places[mark] not in by_place else f"{places[mark]} (another one, {mark[:6]})"
        by_place[shown] = list(names)
    return by_place
