"""A whole system on one arrangement of store, broker and results, through which every canvas goes at once."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from store.places.shard import SHARD
from tests.matrix.application import QUEUE, RUNS
from tests.matrix.canvases import CANVASES, SETTINGS, Outcome, faults
from tests.support.left import left_in_places
from tests.support.processes import PATIENCE, ROOT, Running, eventually
from tests.support.queues import PRIORITIES
from tests.support.system import QUEUES, System

#: an application's environment with the project's own Celery
OWN_PYTHON = sys.executable
#: keys without an expiry that an idle system has, by how they begin: none of them grows with the number of checks
STAYS = (
    "wxcheck:counters",
    "wxcheck:dead",
    "wxcheck:follow_ups",
    "wxcheck:processes",
    "wxcheck:server",
    "wxcheck:{statistics}",
    # told apart in tests.support.left
    SHARD.key(""),
    "_kombu.binding",
    RUNS,
)


class Matrix:
    """The processes around the canvases. ``python``: the application's own, with its Celery; ``worker``: options of
    wxcheck's."""

    def __init__(self, system: System, python: str = OWN_PYTHON, worker: tuple[str, ...] = ()) -> None:
        self.system = system
        self._python = python
        self._environment = {
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'client'}",
            "MATRIX_BROKER_URL": system.broker_url,
            "MATRIX_RESULT_BACKEND": system.results_url,
            "MATRIX_RUNS_URL": system.redis_url,
            "MATRIX_SANDBOX_URL": system.sandbox_url,
            "MATRIX_OPERATOR": json.dumps([OWN_PYTHON, "-m", "ops.cli"]),
            "MATRIX_OPERATOR_ENV": json.dumps({**os.environ, "PYTHONPATH": str(ROOT), **system.environment}),
        }
        self.workers = [system.worker("worker", *worker), self._application()]

    def outcomes(self, *names: str) -> dict[str, Outcome]:
        """Sends the canvases, all or those of these names, and waits until they have ended."""
        driving = self.run("drive", ["-m", "tests.matrix.drive", *names])
        returned = driving.process.wait(4 * PATIENCE)
        assert returned == 0, driving.output + self.log()
        # Celery's results have something to say at the end of their process
        (told,) = [line for line in driving.output.splitlines() if line.startswith("{")]
        return {name: Outcome(**said) for name, said in json.loads(told).items()}

    def faults(self, outcomes: dict[str, Outcome]) -> dict[str, list[str]]:
        """The faults of each canvas, and ``left`` over of all of them. To be asked once: it ends the workers, so
        that what they have in hand ends or is back in its queue."""
        if all(None not in outcome.ends for outcome in outcomes.values()):
            eventually(lambda: not self.queued(), "every queue is empty")
        for worker in self.workers:
            assert worker.stop() == 0, worker.output
        runs = [json.loads(run) for run in self.system.redis.lrange(RUNS, 0, -1)]
        found = {}
        for canvas in CANVASES:
            if (outcome := outcomes.get(canvas.name)) is not None:
                own = [run for run in runs if run["token"] == outcome.token]
                found[canvas.name] = faults(canvas, outcome, own)
        found["left"] = self.left()
        return {name: wrong for name, wrong in found.items() if wrong}

    def queued(self) -> dict[str, int]:
        """Messages that wait, by queue."""
        names = [*QUEUES.split(","), QUEUE]
        node = self.system.servers.rabbitmq
        if node is not None:
            lengths = {name: node.length(name) for name in names}
        else:
            with redis.Redis.from_url(self.system.broker_url, decode_responses=True) as broker:
                lengths = {name: sum(broker.llen(name + step) for step in PRIORITIES) for name in names}
        return {name: length for name, length in lengths.items() if length}

    def left(self) -> list[str]:
        """The keys of checks that have ended, beside those that expire."""
        found = [f"{length} messages in {name}" for name, length in self.queued().items()]
        found += left_in_places(self.system.redis)
        urls = {self.system.redis_url, self.system.broker_url, self.system.results_url}
        for url in sorted(url for url in urls if url.startswith("redis:")):
            with redis.Redis.from_url(url, decode_responses=True) as client:
                found += [key for key in client.scan_iter() if not key.startswith(STAYS) and client.ttl(key) == -1]
                checks = {name: json.loads(text) for name, text in client.hgetall(SHARD.key("checks")).items()}
                found += [f"{name} in {check['place']}" for name, check in checks.items() if check["place"] != "ended"]
        return found

    def log(self) -> str:
        """The end of what each process has said."""
        return "\n".join(f"--- {running.name}\n{running.output[-4000:]}" for running in self.system.started)

    def _application(self) -> Running:
        arguments = ["-Q", QUEUE, "-n", "matrix@%h", "--pool=threads", "-c", "8", "--loglevel=INFO"]
        running = self.run("matrix", ["-m", "celery", "-A", "tests.matrix.application", "worker", *arguments])
        running.wait_for(" ready.")
        return running

    def run(self, name: str, arguments: list[str]) -> Running:
        return self.system.run(name, [self._python, *arguments], **self._environment)


@contextmanager
def matrix(directory: Path, topology: str, python: str = OWN_PYTHON, worker: tuple[str, ...] = ()) -> Iterator[Matrix]:
    """A system on ``topology`` (:mod:`tests.support.topology`) at work, for as long as the block takes."""
    system = System(directory, topology, **SETTINGS)
    try:
        system.sandbox()
        system.endpoint()
        yield Matrix(system, python, worker)
    finally:
        system.close()
