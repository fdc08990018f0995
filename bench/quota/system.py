"""The processes of one run: Redis, the recording server, workers; all of them end with it."""

from __future__ import annotations

import json
import os
import signal
import sys

from redis import Redis

from bench.machine import CpuMeter
from bench.quota.arrivals import ArrivalFile
from bench.quota.contenders import Contender
from bench.quota.result import Look
from bench.quota.scale import Scale
from bench.redis_load import connect, load
from bench.servers import APPID, Servers
from config.lanes import Lane
from ops.local.ports import free_port
from ops.local.redis_server import HOST, answers

#: key that the clock of wxcheck's scripts is ahead by, in microseconds
_CLOCK_KEY = "bench:clock"


class System(Servers):
    """Everything that a run needs, as a context. Its workers are numbered from 0.

    ``apart``: the limiter counts in a Redis of its own, so that what it costs is told from what the broker costs.
    wxcheck's is not apart: the step that hands out a permit takes the check of a queue.
    """

    def __init__(
        self, contender: Contender, scale: Scale, model: str, seed: int, *, apart: bool, durable: bool, clock: bool
    ) -> None:
        super().__init__()
        self.contender = contender
        self.scale = scale
        self._model = model
        self._seed = seed
        self._apart = apart
        self._durable = durable
        self._clock = clock
        self._workers: list[str] = []
        self._starts = 0
        self.cpu = CpuMeter()

    def leave(self) -> None:
        try:
            self._kill_all()
        finally:
            self.store.close()
            self.broker.close()

    def start_workers(self) -> None:
        """Starts every worker. wxcheck need not pause before its first call: the Redis was started just now."""
        if self.contender.is_wxcheck:
            self._expected_to_end.add("vouch")
            self.start("vouch", [sys.executable, "-m", "bench.quota.wxcheck_worker", "vouch"], self._settings())
            self.wait("vouch", lambda: "vouched" in self.log("vouch"))
        self._workers = [self._start_worker(number) for number in range(self.contender.workers)]

    def worker_pids(self) -> list[int]:
        pids = self._processes.pids()
        return [pids[name] for name in self._workers if name in pids]

    def recorder_cpu(self) -> float:
        """CPU seconds of the recording server so far."""
        return CpuMeter().look([self._processes.pids()["recorder"]])

    def worker_logs(self) -> str:
        """The ends of the workers' logs, for an error."""
        return "\n".join(f"{name}{self.last_lines(name)}" for name in self._workers)

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
        self.wait("redis ends", lambda: "redis" not in self._processes.pids())

    def restart_redis(self) -> None:
        """Starts the Redis again on what it has on its disk: its append-only file, or nothing."""
        self.start("redis-again", self._commands["redis"], stage=0)
        self.wait("redis-again", lambda: answers(self.store_url))

    def step_clock(self, seconds: float) -> None:
        """Has the clock that wxcheck's scripts read be ahead by so much."""
        self.store.set(_CLOCK_KEY, round(seconds * 1e6))

    def start_servers(self) -> None:
        self.store_url = self.start_redis("redis", durable=self._durable)
        self.broker_url = self.start_redis("broker", durable=self._durable) if self._apart else self.store_url
        self.store: Redis = connect(self.store_url)
        self.broker: Redis = connect(self.broker_url)
        port = free_port()
        file = self._processes.directory / "arrivals"
        self._processes.directory.joinpath("calls").mkdir()
        options = ["--model", self._model, "--seed", str(self._seed)]
        command = ["-m", "bench.quota.recorder", "--port", str(port), "--file", str(file), *options]
        self.start("recorder", [sys.executable, *command], stage=0)
        self.wait("recorder", lambda: "recording at" in self.log("recorder"))
        self.arrivals = ArrivalFile(file)
        self._api_base = f"http://{HOST}:{port}"

    def _start_worker(self, number: int) -> str:
        self._starts += 1
        name = f"worker-{number}-{self._starts}"
        self.start(name, [sys.executable, *self.contender.command(name)], self._settings())
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

    def _signal_worker(self, number: int, sign: signal.Signals, *, ends: bool = False) -> None:
        name = self._workers[number]
        self.wait(name, lambda: name in self._processes.pids())
        if ends:
            self._expected_to_end.add(name)
        os.kill(self._processes.pids()[name], sign)

    def _kill_all(self) -> None:
        """Kills the workers: nothing of theirs is to be kept, and those that wait for a permit would take a while."""
        for pid in self.worker_pids():
            os.kill(pid, signal.SIGKILL)
