"""Real processes around servers that keep what they have, each of which comes back when it is killed."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import redis

from tests.chaos.application import make_app
from tests.support.ports import free_port
from tests.support.processes import Running
from tests.support.relay import Relay
from tests.support.system import QUEUES, KeepingSystem

#: name and pool of each worker
WORKERS = {
    **{f"threads-{number}": ["-P", "threads", "-c", "32"] for number in range(1, 4)},
    "solo": ["-P", "solo"],
}

SETTINGS = {
    # short, so that what is left behind is taken up soon and a lost push is noticed soon
    "PUSH_TIMEOUT": "30",
    "API_TIMEOUT": "3",
    "API_RETRIES": "8",
    # far above what is sent: the quotas have a suite of their own
    "TEXT_PER_MINUTE": "30000",
    "MEDIA_PER_MINUTE": "30000",
}


class WeakenedSystem(KeepingSystem):
    """One whose workers and endpoint lack a mechanism."""

    def __init__(self, directory: Path, topology: str, without: str, **settings: str) -> None:
        self._without = without
        super().__init__(directory, topology, **settings)

    def run(self, name: str, arguments: list[str], **environment: str) -> Running:
        if arguments[:3] == ["celery", "-A", "worker"] or arguments[0] == "callbacks":
            arguments = ["tests.chaos.without", self._without, *arguments]
        return super().run(name, arguments, **environment)


class World:
    """A system with four workers, an endpoint and an application's worker. ``chance`` decides what is killed.

    ``topology``: one of :data:`tests.support.topology.NAMES`.
    """

    def __init__(
        self, directory: Path, chance: random.Random, topology: str = "one Redis", without: str | None = None
    ) -> None:
        self.chance = chance
        self.topology = topology
        self.system = (
            KeepingSystem(directory, topology, **SETTINGS)
            if without is None
            else WeakenedSystem(directory, topology, without, **SETTINGS)
        )
        self.rabbitmq = self.system.servers.rabbitmq
        self._relay: Relay | None = None
        if self.rabbitmq is not None:
            # to cut off its clients: asked for that, a node waits long for those that do not read
            self._relay = Relay(free_port(), self.rabbitmq.port)
            self._relay.come()
            self.system.broker_url = self.rabbitmq.url_at(self._relay.port)
            self.system.environment["WXCHECK_BROKER_URL"] = self.system.broker_url
        #: the Redis that has the queues; None where RabbitMQ has them
        self.broker = None if self.rabbitmq else redis.Redis.from_url(self.system.broker_url, decode_responses=True)
        self.results = redis.Redis.from_url(self.system.results_url, decode_responses=True)
        self.app = make_app(self.system.broker_url, self.system.results_url)
        self.killed = 0
        self._workers: dict[str, Running] = {}
        self._starts = 0
        try:
            self.system.sandbox("--option", "push_retry_seconds=2", "--option", "push_attempts=6")
            self._endpoint = self.system.endpoint()
            for name in WORKERS:
                self.start_worker(name)
            for worker in self._workers.values():
                worker.wait_for(" ready.")
            self._start_application()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for running in self.system.started:
            running.kill()
        self.app.close()
        for client in (self.results, self.broker):
            if client is not None:
                client.close()
        if self._relay is not None:
            self._relay.go()
        self.system.close()

    def start_worker(self, name: str) -> None:
        self._starts += 1
        node = f"{name}-{self._starts}@%h"
        command = ["celery", "-A", "worker", "worker", "-Q", QUEUES, "-n", node, "--loglevel=INFO", *WORKERS[name]]
        self._workers[name] = self.system.run(f"{name}-{self._starts}", command)

    def kill_worker(self) -> None:
        """SIGKILL to a worker with all its processes; another one starts in its place."""
        name = self.chance.choice(list(WORKERS))
        self._workers[name].kill()
        self.killed += 1
        self.start_worker(name)

    def restart_workers(self) -> None:
        """SIGTERM to one worker after the other, each being replaced when it has ended."""
        for name, worker in list(self._workers.items()):
            assert worker.stop() == 0, worker.output[-2000:]
            self.start_worker(name)
            self._workers[name].wait_for(" ready.")

    def kill_endpoint(self) -> None:
        self._endpoint.kill()
        self._endpoint = self.system.endpoint()

    def kill_redis(self) -> None:
        self.system.server.kill()
        self.system.server = self.system.start_redis()

    def freeze_redis(self, seconds: float, wait: Callable[[float], None]) -> None:
        self.system.server.freeze()
        try:
            wait(seconds)
        finally:
            self.system.server.thaw()

    def kill_broker(self) -> None:
        """SIGKILL to the broker's own server, which starts again with what it kept."""
        server = self.system.servers.broker_server
        assert server is not None, f"{self.topology} has no broker of its own"
        server.kill()
        server.restart()

    def freeze_broker(self, seconds: float, wait: Callable[[float], None]) -> None:
        server = self.system.servers.broker_server
        assert server is not None, f"{self.topology} has no broker of its own"
        server.freeze()
        try:
            wait(seconds)
        finally:
            server.thaw()

    def fill_redis(self, seconds: float, wait: Callable[[float], None]) -> None:
        """Leaves it no memory for anything new."""
        self.system.redis.config_set("maxmemory", 1)
        try:
            wait(seconds)
        finally:
            self.system.redis.config_set("maxmemory", 0)

    def drop_connections(self) -> None:
        """Cuts off every client, those that wait for messages included."""
        for client in {self.system.redis_url: self.system.redis, **self._further_clients()}.values():
            client.client_kill_filter(_type="normal", skipme=True)
            client.client_kill_filter(_type="pubsub")
        if self._relay is not None:
            self._relay.drop()

    def _further_clients(self) -> dict[str, redis.Redis]:
        clients = {self.system.results_url: self.results}
        if self.broker is not None:
            clients[self.system.broker_url] = self.broker
        return clients

    def _start_application(self) -> None:
        if self.rabbitmq is None:
            command = ["tests.chaos.application"]
        else:
            # Celery's own threads acknowledge on a connection that py-amqp has for one thread only
            command = ["celery", "-A", "tests.chaos.application", "worker", "-Q", "application", "-n", "application@%h"]
            command += ["-P", "solo", "--loglevel=INFO"]
        self._application = self.system.run("application", command)
        self._application.wait_for(" ready.")
