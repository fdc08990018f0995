"""The processes of one run: Redis, the recording server, workers; all of them end with it."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis

from bench.quota.arrivals import ArrivalFile
from bench.quota.contenders import Contender
from bench.quota.machine import CpuMeter
from bench.quota.redis_load import connect, load
from bench.quota.result import Look
from bench.quota.scale import Lane, Scale
from local.ports import free_port
from local.processes import ROOT, Processes
from local.redis_server import HOST, answers, embedded_redis

APPID = "wx0123456789abcdef"

#: seconds for a server to answer
_STARTS = 30.0
_LOOK = 0.05
#: seconds between SIGTERM and SIGKILL at the end; workers are killed at once, and have nothing to end well
_GRACE = 2.0

#: key that the clock of wxcheck's scripts is ahead by, in microseconds
_CLOCK_KEY = "bench:clock"

_TAIL = 15


class RunFailed(Exception):
    """A run could not be made; the message says why, with the last lines of the process that failed."""


class System:
    """Everything that a run needs, as a context. Its workers are numbered from 0.

    ``apart``: the limiter counts in a Redis of its own, so that what it costs is told from what the broker costs.
    """

    def __init__(
        self, contender: Contender, scale: Scale, model: str, seed: int, *, apart: bool, durable: bool, clock: bool
    ) -> None:
        self.contender = contender
        self.scale = scale
        self._model = model
        self._seed = seed
        self._apart = apart
        self._durable = durable
        self._clock = clock
        self._commands: dict[str, list[str]] = {}
        self._seen: set[str] = set()
        self._expected_to_end: set[str] = set()
        self._workers: list[str] = []
        self._starts = 0
        self.cpu = CpuMeter()

    def __enter__(self) -> Self:
        self._processes = Processes(_inherited(), grace=_GRACE)
        self._processes.__enter__()
        try:
            self._start_servers()
        except BaseException:
            self._processes.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._kill_all()
        finally:
            self.store.close()
            self.broker.close()
            self._processes.close()

    def start_workers(self) -> None:
        """Starts every worker. wxcheck need not pause before its first call: the Redis was started just now."""
        if self.contender.is_wxcheck:
            self._expected_to_end.add("vouch")
            self._start("vouch", [sys.executable, "-m", "bench.quota.wxcheck_worker", "vouch"], self._settings())
            self._wait("vouch", lambda: "vouched" in self._log("vouch"))
        self._workers = [self._start_worker(number) for number in range(self.contender.workers)]

    def worker_pids(self) -> list[int]:
        pids = self._processes.pids()
        return [pids[name] for name in self._workers if name in pids]

    def recorder_cpu(self) -> float:
        """CPU seconds of the recording server so far."""
        return CpuMeter().look([self._processes.pids()["recorder"]])

    def check(self) -> None:
        """Finds out whether every process still runs.

        Raises:
            RunFailed: one has ended that nobody killed.
        """
        running = set(self._processes.pids())
        for name in self._seen - running - self._expected_to_end:
            raise RunFailed(f"{name} has ended by itself{self._last_lines(name)}")
        self._seen |= running

    def worker_logs(self) -> str:
        """The ends of the workers' logs, for an error."""
        return "\n".join(f"{name}{self._last_lines(name)}" for name in self._workers)

    def script_calls(self) -> dict[str, int]:
        """How often wxcheck's workers have called each Lua script, by its name."""
        calls: dict[str, int] = {}
        for counts in self._processes.directory.joinpath("calls").glob("*.json"):
            for name, number in json.loads(counts.read_text()).items():
                calls[name] = calls.get(name, 0) + number
        return calls

    def look(self) -> Look:
        """What its workers and its servers have done so far."""
        return Look(
            store=load(self.store),
            broker=load(self.broker) if self.broker_url != self.store_url else None,
            cpu=self.cpu.look(self.worker_pids()),
            recorder_cpu=self.recorder_cpu(),
            scripts=self.script_calls(),
        )

    def arrived(self) -> dict[Lane, int]:
        """Calls so far, by lane."""
        self.arrivals.update()
        return {lane: len(arrivals.times) for lane, arrivals in self.arrivals.lanes.items()}

    def replace_worker(self, number: int) -> None:
        """SIGKILL to a worker, and another one in its place."""
        self.cpu.look(self.worker_pids())
        self._signal_worker(number, signal.SIGKILL, ends=True)
        self._workers[number] = self._start_worker(number)

    def stop_worker(self, number: int) -> None:
        """SIGSTOP: the worker stands still, its connections stay open."""
        self._signal_worker(number, signal.SIGSTOP)

    def continue_worker(self, number: int) -> None:
        self._signal_worker(number, signal.SIGCONT)

    def kill_redis(self) -> None:
        """SIGKILL to the Redis."""
        pid = self._processes.pids()["redis"]
        self._expected_to_end.add("redis")
        os.kill(pid, signal.SIGKILL)
        self._wait("redis ends", lambda: "redis" not in self._processes.pids())

    def restart_redis(self) -> None:
        """Starts the Redis again on what it has on its disk: its append-only file, or nothing."""
        self._start("redis-again", self._commands["redis"], stage=0)
        self._wait("redis-again", lambda: answers(self.store_url))

    def step_clock(self, seconds: float) -> None:
        """Has the clock that wxcheck's scripts read be ahead by so much."""
        self.store.set(_CLOCK_KEY, round(seconds * 1e6))

    def _start_servers(self) -> None:
        self.store_url = self._start_redis("redis")
        self.broker_url = self._start_redis("broker") if self._apart else self.store_url
        self.store: Redis = connect(self.store_url)
        self.broker: Redis = connect(self.broker_url)
        port = free_port()
        file = self._processes.directory / "arrivals"
        self._processes.directory.joinpath("calls").mkdir()
        options = ["--model", self._model, "--seed", str(self._seed)]
        command = ["-m", "bench.quota.recorder", "--port", str(port), "--file", str(file), *options]
        self._start("recorder", [sys.executable, *command], stage=0)
        self._wait("recorder", lambda: "recording at" in self._log("recorder"))
        self.arrivals = ArrivalFile(file)
        self._api_base = f"http://{HOST}:{port}"

    def _start_redis(self, name: str) -> str:
        directory = self._processes.directory / f"{name}.d"
        directory.mkdir()
        server = embedded_redis(free_port(), directory)
        command = list(server.command)
        if self._durable:
            command[command.index("--appendonly") + 1] = "yes"
        self._commands[name] = command
        self._start(name, command, stage=0)
        self._wait(name, server.answers)
        return server.url

    def _start_worker(self, number: int) -> str:
        self._starts += 1
        name = f"worker-{number}-{self._starts}"
        self._start(name, [sys.executable, *self.contender.command(name)], self._settings())
        return name

    def _settings(self) -> dict[str, str]:
        scale = self.scale
        return {
            "WXCHECK_REDIS_URL": self.store_url,
            "WXCHECK_BROKER_URL": self.broker_url,
            "WXCHECK_RESULT_BACKEND": self.broker_url,
            "WXCHECK_API_BASE": self._api_base,
            "WXCHECK_API_TIMEOUT": f"{scale.timeout:g}",
            "WXCHECK_APPID": APPID,
            "WXCHECK_TOKEN_SOURCE": "none",
            "WXCHECK_TEXT_PER_MINUTE": str(round(scale.text * 60 / scale.window)),
            "WXCHECK_MEDIA_PER_MINUTE": str(round(scale.media * 60 / scale.window)),
            "BENCH_CALLS": str(self._processes.directory / "calls"),
            **self.contender.environment(scale, self.store_url),
            **({"BENCH_CLOCK_KEY": _CLOCK_KEY} if self._clock else {}),
        }

    def _start(self, name: str, command: list[str], environment: dict[str, str] | None = None, stage: int = 1) -> None:
        # not in the root of the repository: a developer's .env there must not reach a run
        self._processes.start(name, command, environment=environment or {}, cwd=self._processes.directory, stage=stage)

    def _signal_worker(self, number: int, sign: signal.Signals, *, ends: bool = False) -> None:
        name = self._workers[number]
        self._wait(name, lambda: name in self._processes.pids())
        if ends:
            self._expected_to_end.add(name)
        os.kill(self._processes.pids()[name], sign)

    def _kill_all(self) -> None:
        """Kills the workers: nothing of theirs is to be kept, and those that wait for a permit would take a while."""
        for pid in self.worker_pids():
            os.kill(pid, signal.SIGKILL)

    def _wait(self, name: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _STARTS
        while not holds():
            self.check()
            if time.monotonic() > deadline:
                raise RunFailed(f"{name}: not within {_STARTS:.0f} s{self._last_lines(name)}")
            time.sleep(_LOOK)

    def _log(self, name: str) -> str:
        log: Path = self._processes.log(name)
        return log.read_text(errors="replace") if log.exists() else ""

    def _last_lines(self, name: str) -> str:
        lines = self._log(name).splitlines()[-_TAIL:]
        return "; its last lines:\n" + "\n".join(f"  {line}" for line in lines) if lines else "; it printed nothing"


def _inherited() -> dict[str, str]:
    """This process' environment without what would configure wxcheck or Celery."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.upper().startswith(("WXCHECK_", "CELERY_"))
    }
    for name in ("NO_PROXY", "no_proxy"):  # all that is here talks to this machine
        inherited[name] = ",".join(filter(None, [inherited.get(name), HOST]))
    inherited["PYTHONPATH"] = str(ROOT)
    inherited["PYTHONUNBUFFERED"] = "1"
    return inherited
