"""A whole wxcheck for a test: Redis, the sandbox, the endpoint and workers as processes, on free ports."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar, cast

import redis
import requests
from celery import Celery

from config.lanes import LANES, Lane
from ops.local.redis_server import answers, embedded_redis
from store.keys import FAILURES
from store.places.shard import SHARD
from store.places.vouching import vouch
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, Running, eventually
from tests.support.queues import look_at_lanes
from tests.support.topology import start_servers, store_of

APPID = "wx0123456789abcdef"
SECRET = "5ecre7005ecre7005ecre7005ecre700"
PUSH_TOKEN = "pushtokenOfTheTests"
AES_KEY = "aeskeyOfTheTests0123456789abcdefghijklmnopq"
OTHER_APPID = "wxfedcba9876543210"

QUEUES = "wxcheck.text,wxcheck.media,wxcheck.push"


class System:
    """Starts what a test asks for; all of it ends with :meth:`close`.

    ``topology``: one of :data:`tests.support.topology.NAMES`, where its broker and its results are.
    """

    #: what its Redis is started with, beside what an embedded one always is
    redis_options: ClassVar[list[str]] = []

    def __init__(self, directory: Path, topology: str = "one Redis", **settings: str) -> None:
        self.directory = directory
        self._stack = ExitStack()
        self.started: list[Running] = []
        redis_port, sandbox_port, endpoint_port = free_port(), free_port(), free_port()
        self.sandbox_url = f"http://127.0.0.1:{sandbox_port}"
        self.endpoint_url = f"http://127.0.0.1:{endpoint_port}"
        embedded = embedded_redis(redis_port, directory)
        self._embedded_url = embedded.url
        self.redis_url = store_of(topology, embedded.url)
        self.environment = {
            "WXCHECK_REDIS_URL": self.redis_url,
            "WXCHECK_API_BASE": self.sandbox_url,
            "WXCHECK_APPID": APPID,
            "WXCHECK_SECRET": SECRET,
            "WXCHECK_PUSH_TOKEN": PUSH_TOKEN,
            "WXCHECK_PUSH_AES_KEY": AES_KEY,
            "WXCHECK_APPS": json.dumps(
                {OTHER_APPID: {"secret": SECRET, "push_token": PUSH_TOKEN, "push_aes_key": AES_KEY}}
            ),
            "WXCHECK_CALLBACK_PORT": str(endpoint_port),
            # longer than a busy machine stands still before it answers
            "WXCHECK_API_TIMEOUT": "6",
            "WXCHECK_RETRY_DELAY": "0.1",
            **{f"WXCHECK_{name}": value for name, value in settings.items()},
        }
        self._redis_command = embedded.command + self.redis_options
        self.server = self.start_redis()
        try:
            self.servers = start_servers(topology, embedded.url, directory, self._stack, self.redis_options)
        except BaseException:
            self._stack.close()
            raise
        if self.servers.broker:
            self.environment.setdefault("WXCHECK_BROKER_URL", self.servers.broker)
        if self.servers.results:
            self.environment.setdefault("WXCHECK_RESULT_BACKEND", self.servers.results)
        self.broker_url = self.servers.broker or self.redis_url
        self.results_url = self.servers.results or self.redis_url
        # without a time-out of its own the client has one of five seconds
        self.redis = redis.Redis.from_url(self.redis_url, decode_responses=True, socket_timeout=PATIENCE)
        # Redis and platform are new
        vouch(self.redis, APPID)
        vouch(self.redis, OTHER_APPID)
        self._stack.callback(self.redis.close)
        self.app = plain_client(self.broker_url, self.results_url)

    def run(self, name: str, arguments: list[str], **environment: str) -> Running:
        """Starts a process; ``environment`` adds to the system's own."""
        return self._keep(Running(name, arguments, {**self.environment, **environment}, self.directory))

    def run_fresh(self, name: str, arguments: list[str]) -> Running:
        """Starts a process with an interpreter of its own, as its command does."""
        return self._keep(Running(name, arguments, self.environment, self.directory, fresh=True))

    def _keep(self, running: Running) -> Running:
        self._stack.callback(running.stop)
        self.started.append(running)
        return running

    def start_redis(self) -> Running:
        """Starts the Redis, again where it was killed; what it held is gone then."""
        running = self.run("redis", self._redis_command)
        try:
            eventually(lambda: answers(self.redis_url), "Redis answers")
        except BaseException:
            running.kill()
            raise
        return running

    def sandbox(self, *arguments: str) -> Running:
        running = self.run("sandbox", ["sandbox", *arguments])
        running.wait_for("sandbox listening on")
        return running

    def endpoint(self, *arguments: str, **environment: str) -> Running:
        running = self.run("endpoint", ["callbacks", *arguments], **environment)
        running.wait_for("listening on")
        return running

    def worker(self, name: str = "worker", *arguments: str, queues: str = QUEUES, **environment: str) -> Running:
        """``celery -A worker worker``, ready to work."""
        command = ["celery", "-A", "worker", "worker", "-Q", queues, "-n", f"{name}@%h", "--loglevel=INFO", *arguments]
        running = self.run(name, command, **environment)
        running.wait_for(" ready.")
        return running

    def application(self, *more: str) -> Running:
        """The worker of the tests' own application; ``more``: options."""
        arguments = ["-Q", "application", "-n", "application@%h", "--pool=threads", "-c", "4", *more]
        # it asks no other worker what it has missed, which takes a second
        arguments += ["--loglevel=INFO", "--without-mingle"]
        command = ["celery", "-A", "tests.support.application", "worker", *arguments]
        running = Running("application", command, self.environment, self.directory)
        self._stack.callback(running.kill)  # it is Celery's own, and may hang when it stops after its broker was away
        self.started.append(running)
        running.wait_for(" ready.")
        return running

    def tell_sandbox(self, **options: Any) -> None:
        """Changes options of the sandbox while it runs."""
        requests.patch(f"{self.sandbox_url}/sandbox/options", json=options, timeout=PATIENCE).raise_for_status()

    def reset_sandbox(self) -> None:
        requests.post(f"{self.sandbox_url}/sandbox/reset", timeout=PATIENCE).raise_for_status()

    def invalidate_tokens(self) -> None:
        requests.post(f"{self.sandbox_url}/sandbox/tokens/invalidate", timeout=PATIENCE).raise_for_status()

    def sandbox_stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = requests.get(f"{self.sandbox_url}/sandbox/stats", timeout=PATIENCE).json()
        return stats

    def calls(self, path: str) -> int:
        """The number of calls to the platform at ``path``."""
        return int(self.sandbox_stats()["calls"].get(path, 0))

    def counters(self) -> dict[str, int]:
        """The counts of the cluster."""
        return {str(event): int(number) for event, number in self.redis.hgetall("wxcheck:counters").items()}

    def database_url(self, number: int) -> str:
        """The URL of another database of the same Redis, where no worker of other tests fetches."""
        return f"{self._embedded_url.removesuffix('/0')}/{number}"

    @contextmanager
    def database(self, number: int) -> Iterator[redis.Redis]:
        """That database, empty."""
        url = self.database_url(number)
        with redis.Redis.from_url(url, decode_responses=True, socket_timeout=PATIENCE) as client:
            client.flushdb()
            yield client

    def forget(self) -> None:
        """Empties the store, but for what a broker keeps in it: the next test meets no token, closed lane or mark.

        The permits stay: without them nothing would be sent for more than a minute.
        """
        kept = (
            "wxcheck:server",
            "wxcheck:kombu",
            "wxcheck:unacked",
            "wxcheck:{0}:quota:",
            "wxcheck:{0}:ring:",
            "wxcheck:{0}:known",
        )
        keys = [key for key in self.redis.scan_iter("wxcheck:*") if not key.startswith(kept)]
        gone = [key for key in keys if key == FAILURES or (self.redis.type(key) != "list" and key not in QUEUES)]
        if gone:
            self.redis.delete(*gone)
        self.open_lanes()

    def close_lane(self, kind: str, appid: str = APPID, seconds: float = 3600) -> None:
        """As when WeChat has said that the quota of the day is used up."""
        until = str(int((time.time() + seconds) * 1e6))
        self.redis.hset(SHARD.of_lane(cast("Lane", kind), appid)[1], mapping={"closed_until": until, "why": "day"})

    def open_lanes(self) -> None:
        """Brings the time forward to when every lane is open."""
        for key in self.redis.scan_iter("wxcheck:{0}:quota:*"):
            self.redis.hdel(key, "closed_until", "why", "cut", "cut_until", "stopped", "refusal")
        look_at_lanes(self.redis)
        for kind in LANES:
            if appids := self.redis.zrange(SHARD.key(f"open:{kind}"), 0, -1):
                self.redis.zadd(SHARD.key(f"open:{kind}"), dict.fromkeys(map(str, appids), 0))
                self.redis.lpush(SHARD.key(f"wake:{kind}"), 1)

    def close(self) -> None:
        # while its servers run
        self.app.close()
        self._stack.close()


class KeepingSystem(System):
    """One whose Redis keeps what it holds when it is killed."""

    redis_options: ClassVar[list[str]] = ["--appendonly", "yes", "--appendfsync", "always"]


class PlainClient(Celery):  # type: ignore[misc]  # Celery ships no types
    """One that closes the connections of its results too."""

    def close(self) -> None:
        # a result unsubscribes when it is collected, on a new connection if need be, which nobody would close
        consumer = self.backend.result_consumer
        consumer.subscribed_to.clear()
        consumer.stop()
        self.backend.client.connection_pool.disconnect()
        super().close()


def plain_client(broker: str, results: str = "") -> PlainClient:
    """A Celery app that imports nothing of the project; ``results``: the broker's URL, unless said."""
    app = PlainClient("plain", broker=broker, backend=results or broker, set_as_current=False)
    app.conf.update(task_serializer="json", accept_content=["json"], broker_connection_timeout=3)
    return app


@contextmanager
def working(directory: Path, *worker: str) -> Iterator[System]:
    """A system at work: sandbox, endpoint, the application, and one worker with the options ``worker``."""
    system = System(directory)
    try:
        system.sandbox()
        system.endpoint()
        system.worker("worker", *worker)
        system.application()
        yield system
    finally:
        system.close()
