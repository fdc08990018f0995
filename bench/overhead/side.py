"""One side of a figure, wxcheck or its peer: a Redis, the stand-in for the platform, workers, endpoint, application."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import requests

from bench.machine import family_cpu, resident_bytes
from bench.overhead import checks, names
from bench.overhead.clones import Template, put
from bench.overhead.notes import Notes
from bench.redis_load import connect
from bench.servers import APPID, RunFailed, Servers, inherited_environment
from config.names import UNACKED
from ops.local.ports import free_port
from ops.local.redis_server import HOST
from store.places.shard import SHARD
from store.places.vouching import vouch
from wxcheck import MEDIA_QUEUE, TEXT_QUEUE

if TYPE_CHECKING:
    from config.lanes import Lane

Kind = Literal["wxcheck", "bare"]

#: queues of one worker that does it all
ALL: dict[Kind, str] = {
    "wxcheck": "wxcheck.text,wxcheck.media,wxcheck.push",
    "bare": f"{names.TEXT_QUEUE},{names.MEDIA_QUEUE},{names.PUSH_QUEUE}",
}
#: a worker for each queue, as docker-compose.yml has it
EACH: dict[Kind, list[str]] = {kind: queues.split(",") for kind, queues in ALL.items()}
#: of these, those that only send checks
CHECKS_ONLY = (TEXT_QUEUE, MEDIA_QUEUE)

#: of every process of both sides; for workers as docker-compose.yml has it: the C library keeps no freed memory for
#: each thread
ALLOCATOR = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}

#: a quota that no call is refused by
LIFTED = {
    "WXCHECK_TEXT_PER_MINUTE": "600000",
    "WXCHECK_TEXT_PER_DAY": "800000000",
    "WXCHECK_MEDIA_PER_MINUTE": "600000",
    "WXCHECK_MEDIA_PER_DAY": "800000000",
}

SECRET = "a-secret-of-the-bench"
#: settings by which :mod:`bench.quota.wxcheck_worker` changes a worker
CHANGES = {"BENCH_WINDOW", "BENCH_CLOCK_KEY"}

#: seconds from an answer to its push, the least and the most: the same for all, or the rate of chains would be theirs
PUSH_AFTER = (0.5, 0.5)

_LOOK = 0.05
#: unacknowledged messages that are worth a look each
_FEW = 8
#: seconds for one answer of the stand-in
_ANSWER = 20.0
#: seconds for a command that is run to its end
_CALL = 180.0


@dataclass(frozen=True)
class Options:
    """How workers are started, on both sides alike; None: as the configuration says."""

    pool: str | None = None
    concurrency: int | None = None

    def arguments(self) -> list[str]:
        told = [f"--pool={self.pool}"] if self.pool else []
        return told + ([f"--concurrency={self.concurrency}"] if self.concurrency else [])


class Side(Servers):
    """The processes of one side, as a context: inside it those that were asked for are ready.

    ``workers``: the queues of each worker. ``endpoint``, ``application``: whether there is one. ``noted``: whether
    the endpoint notes when it has read a request. ``settings`` add to those of both sides. ``appids``: further Mini
    Programs. ``descriptors``, ``clients``: most of each worker, and most of the Redis.
    """

    def __init__(
        self,
        kind: Kind,
        options: Options,
        *,
        workers: list[str] | None = None,
        endpoint: bool = False,
        application: bool = False,
        noted: bool = False,
        settings: Mapping[str, str] = LIFTED,
        appids: Sequence[str] = (),
        descriptors: int | None = None,
        clients: int | None = None,
    ) -> None:
        super().__init__()
        self.kind = kind
        self._options = options
        self._to_start = [ALL[kind]] if workers is None else workers
        self._with_endpoint = endpoint
        self._with_application = application
        self._noted = noted
        self._own = {"WXCHECK_APPS": json.dumps({appid: {"secret": SECRET} for appid in appids}), **settings}
        self._appids = appids
        self._descriptors = descriptors
        self._clients = clients
        self.workers: list[str] = []

    # -- processes

    def start_servers(self) -> None:
        self.url = self.start_redis("redis")
        self.redis = connect(self.url)
        if self._clients is not None:
            self.redis.config_set("maxclients", self._clients)
        if self.kind == "wxcheck":
            for appid in (APPID, *self._appids):
                vouch(self.redis, appid)
        self.endpoint_port = free_port()
        port = free_port()
        self._platform = f"http://{HOST}:{port}"
        arguments = ["--port", str(port), "--endpoint-port", str(self.endpoint_port)]
        plain = ["--plain"] if self.kind == "bare" else []
        self.start("platform", [sys.executable, "-m", "bench.overhead.platform", *arguments, *plain], stage=0)
        self.wait("platform", lambda: "answering at" in self.log("platform"))
        self._session = requests.Session()
        self._session.trust_env = False
        self.ends = Notes(self.directory / "ends")
        self.reads = Notes(self.directory / "reads")
        if self._with_endpoint:
            self._start_endpoint()
        if self._with_application:
            self.start("application", self._celery("bench.overhead.application", names.FOLLOW_QUEUE), self._settings())
        for queues in self._to_start:
            self.add_worker(queues)
        if self._with_application:
            self._wait_ready("application")
        for name in self.workers:
            self._wait_ready(name)
        if self._with_endpoint:
            self.wait("endpoint", self._endpoint_answers)

    def leave(self) -> None:
        self._session.close()
        self.redis.close()

    def add_worker(self, queues: str | None = None) -> str:
        """Starts one more worker, without waiting for it."""
        name = f"worker-{len(self.workers) + 1}"
        app = "worker" if self.kind == "wxcheck" else "bench.overhead.bare"
        self.start(name, self._celery(app, queues or ALL[self.kind], name), self._settings())
        self.workers.append(name)
        return name

    def await_workers(self) -> None:
        """Waits for those that were added."""
        for name in self.workers:
            self._wait_ready(name)

    def stop_workers(self) -> None:
        """Ends the workers, and waits for that."""
        for name in self.workers:
            self.stop(name)
        self.workers.clear()

    def call(self, command: list[str]) -> str:
        """Runs a command with the settings of this side's processes to its end; what it prints.

        Raises:
            RunFailed: it fails.
        """
        environment = {**inherited_environment(), **self._settings()}
        said = subprocess.run(
            command, cwd=self.directory, env=environment, capture_output=True, text=True, timeout=_CALL, check=False
        )
        if said.returncode:
            raise RunFailed(f"{' '.join(command[1:])} ended with code {said.returncode}: {said.stderr[-2000:]}")
        return said.stdout

    def cpu(self) -> float:
        """CPU seconds so far of all that a deployment has: workers, endpoint, Redis and application."""
        others = ["endpoint"] * self._with_endpoint + ["application"] * self._with_application
        return sum(family_cpu(self.pid(name)) for name in ["redis", *self.workers, *others])

    def worker_bytes(self) -> int:
        """Memory of the workers."""
        return sum(resident_bytes(self.pid(name)) for name in self.workers)

    # -- messages

    @cached_property
    def text(self) -> Template:
        """A check of a text, alone, its result kept."""
        return checks.text(self.url) if self.kind == "wxcheck" else checks.bare_text(self.url)

    @cached_property
    def media(self) -> Template:
        """A check of a picture; wxcheck's with the follow-up as the rest of its chain."""
        return checks.media(self.url) if self.kind == "wxcheck" else checks.bare_media(self.url)

    def put(self, of: Template, count: int) -> None:
        """Puts so many messages on their queue."""
        put(self.redis, of.queue, list(islice(of.clones(), count)))

    def waiting(self, of: Template) -> int:
        """Messages of wxcheck's in the queue of ``of``, and checks in its lane."""
        kind: Lane = "text" if of.queue == TEXT_QUEUE else "media"
        return int(self.redis.llen(of.queue)) + int(self.redis.zcard(SHARD.of_lane(kind, APPID)[0]))

    # -- the stand-in

    def counts(self) -> dict[str, Any]:
        """What the stand-in has counted: ``{"text", "media", "pushes": {status: number}}``."""
        found: dict[str, Any] = self._ask("counts").json()
        return found

    def text_times(self) -> list[float]:
        """When each text came to the stand-in, in seconds since the epoch."""
        times = array("d")
        times.frombytes(self._ask("times").content)
        return times.tolist()

    def arrivals(self) -> dict[str, list[float]]:
        """The same of each appId."""
        found: dict[str, list[float]] = self._ask("arrivals").json()
        return found

    def tell_platform(self, verb: str, **said: Any) -> None:
        """Tells the stand-in something; see :mod:`bench.overhead.platform`."""
        self._ask(verb, said)

    def check_pushes(self) -> None:
        """Finds out whether every push was taken.

        Raises:
            RunFailed: one was not.
        """
        refused = {status: number for status, number in self.counts()["pushes"].items() if status != "200"}
        if refused:
            raise RunFailed(f"{self.kind}: pushes were answered {refused}{self.last_lines('endpoint')}")

    # -- runs

    def run_texts(self, count: int, seconds: float = 120.0) -> tuple[list[float], float]:
        """Checks so many texts; when each came to the platform, and the CPU seconds that it all took."""
        messages = list(islice(self.text.clones(), count))
        first = self.counts()["text"]
        spent = self.cpu()
        put(self.redis, self.text.queue, messages)
        self.await_count("texts", lambda: self.counts()["text"] - first, count, seconds)
        self.await_quiet()
        return self.text_times()[first : first + count], self.cpu() - spent

    def run_chains(self, of: Template, count: int, *, push: bool, seconds: float = 120.0) -> tuple[list[float], float]:
        """Runs so many chains to their follow-up; when each of these started, and the CPU seconds that it all took."""
        messages = list(islice(of.clones(), count))
        self.tell_platform("set", push_after=PUSH_AFTER if push else None)
        if push:
            self.tell_platform("prepare", count=count)
        self.ends.fresh()
        first = self.ends.count()
        spent = self.cpu()
        put(self.redis, of.queue, messages)
        self.await_count("chains", lambda: self.ends.count() - first, count, seconds)
        self.await_quiet()
        self.check_pushes()
        return [note.at for note in self.ends.fresh()], self.cpu() - spent

    def await_count(self, what: str, counted: Callable[[], int], count: int, seconds: float) -> None:
        """Waits until so many are counted.

        Raises:
            RunFailed: not within ``seconds``; or more are.
        """
        deadline = time.monotonic() + seconds
        while (reached := counted()) < count:
            self.check()
            if time.monotonic() > deadline:
                logs = "".join(self.last_lines(name) for name in self.workers)
                raise RunFailed(f"{self.kind}: {reached} of {count} {what} within {seconds:.0f} s{logs}")
            time.sleep(_LOOK)
        if reached > count:
            raise RunFailed(f"{self.kind}: {reached} {what}, where {count} were asked for")

    def await_quiet(self) -> None:
        """Waits until nothing is in hand: results are stored by then."""
        deadline = time.monotonic() + _ANSWER
        while any(map(self._unacknowledged, (UNACKED, "unacked"))) or self.redis.zcard(SHARD.key("hand")):
            if time.monotonic() > deadline:
                raise RunFailed(f"{self.kind}: something is still in hand after {_ANSWER:.0f} s")
            time.sleep(_LOOK / 5)

    def _unacknowledged(self, unacknowledged: str) -> int:
        """Messages of tasks that somebody has in hand; a worker never acknowledges the replies to its own greeting."""
        number = int(self.redis.hlen(unacknowledged))
        if number > _FEW:
            return number
        return sum("pidbox" not in message for message in self.redis.hvals(unacknowledged))

    def _start_endpoint(self) -> None:
        settings = self._settings(notes=str(self.reads.path))
        if self.kind == "bare":
            command = ["bench.overhead.endpoint", "--bare"]
        else:
            command = ["bench.overhead.endpoint"] if self._noted else ["callbacks"]
        self.start("endpoint", [sys.executable, "-m", *command], settings)

    def _endpoint_answers(self) -> bool:
        try:
            return self._session.get(f"http://{HOST}:{self.endpoint_port}/readyz", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def _wait_ready(self, name: str) -> None:
        # "name@host ready.", once it consumes its queues
        self.wait(name, lambda: " ready." in self.log(name))

    def _celery(self, app: str, queues: str, name: str = "application") -> list[str]:
        options = ["-n", f"{name}@%h", "--loglevel=INFO", *self._options.arguments()]
        # as docker-compose.yml has it: whoever sends checks only yields to who finishes them
        command = ["nice", "-n", "19"] if queues in CHECKS_ONLY else []
        if self._descriptors is not None:
            command = ["sh", "-c", f'ulimit -n {self._descriptors}; exec "$@"', "sh", *command]
        celery = ["celery", "-A", app]
        if app == "worker" and CHANGES & set(self._own):
            celery = ["bench.quota.wxcheck_worker"]
        return [*command, sys.executable, "-m", *celery, "worker", "-Q", queues, *options]

    def _settings(self, notes: str | None = None) -> dict[str, str]:
        return {
            "WXCHECK_REDIS_URL": self.url,
            "WXCHECK_API_BASE": self._platform,
            "WXCHECK_APPID": APPID,
            "WXCHECK_SECRET": SECRET,
            "WXCHECK_PUSH_TOKEN": names.PUSH_TOKEN,
            "WXCHECK_PUSH_AES_KEY": names.PUSH_AES_KEY,
            "WXCHECK_CALLBACK_PORT": str(self.endpoint_port),
            names.NOTES: notes or str(self.ends.path),
            **ALLOCATOR,
            **self._own,
        }

    def _ask(self, what: str, said: dict[str, Any] | None = None) -> requests.Response:
        answer = self._session.post(f"{self._platform}/bench/{what}", data=json.dumps(said or {}), timeout=_ANSWER)
        answer.raise_for_status()
        return answer
