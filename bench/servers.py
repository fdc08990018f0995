"""The processes of a run, each with its log, and a Redis of the run's own; all of them end with it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from ops.local.ports import free_port
from ops.local.processes import ROOT, Processes
from ops.local.redis_server import HOST, embedded_redis

APPID = "wx0123456789abcdef"

#: seconds for a server to answer; beside others that start a machine of two cores takes some twenty
STARTS = 90.0
_LOOK = 0.05
#: seconds between SIGTERM and SIGKILL at the end; nothing of a run is to be kept
_GRACE = 2.0

_TAIL = 15


class RunFailed(Exception):
    """A run could not be made; the message says why, with the last lines of the process that failed."""


class Servers:
    """A set of processes as a context; what it starts in :meth:`start_servers` runs before anything else."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._expected_to_end: set[str] = set()
        self._commands: dict[str, list[str]] = {}

    def __enter__(self) -> Self:
        self._processes = Processes(inherited_environment(), grace=_GRACE)
        self._processes.__enter__()
        try:
            self.start_servers()
        except BaseException:
            self._processes.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.leave()
        finally:
            self._processes.close()

    def start_servers(self) -> None:
        """What is started first; others are started by name."""

    def leave(self) -> None:
        """What is closed before the processes end."""

    @property
    def directory(self) -> Path:
        """For files of the run; deleted at its end."""
        return self._processes.directory

    def pid(self, name: str) -> int:
        """The id of a process that was started.

        Raises:
            RunFailed: it does not run.
        """
        self.wait(name, lambda: name in self._processes.pids())
        return self._processes.pids()[name]

    def check(self) -> None:
        """Finds out whether every process still runs.

        Raises:
            RunFailed: one has ended that nobody killed.
        """
        running = set(self._processes.pids())
        for name in self._seen - running - self._expected_to_end:
            raise RunFailed(f"{name} has ended by itself{self.last_lines(name)}")
        self._seen |= running

    def start(
        self, name: str, command: list[str], environment: Mapping[str, str] | None = None, stage: int = 1
    ) -> None:
        # not in the root of the repository: a developer's .env there must not reach a run
        self._processes.start(name, command, environment=environment or {}, cwd=self.directory, stage=stage)

    def stop(self, name: str) -> None:
        """Ends a process by SIGTERM, and waits for that."""
        self._expected_to_end.add(name)
        os.kill(self.pid(name), signal.SIGTERM)
        self.wait(f"{name} ends", lambda: name not in self._processes.pids())

    def start_redis(self, name: str, *, durable: bool = False) -> str:
        """Starts a Redis of this name, and returns its URL once it answers; ``durable``: with an append-only file."""
        directory = self.directory / f"{name}.d"
        directory.mkdir()
        server = embedded_redis(free_port(), directory)
        command = list(server.command)
        if durable:
            command[command.index("--appendonly") + 1] = "yes"
        self._commands[name] = command
        self.start(name, command, stage=0)
        self.wait(name, server.answers)
        return server.url

    def wait(self, name: str, holds: Callable[[], bool], seconds: float = STARTS) -> None:
        """Returns as soon as ``holds()``.

        Raises:
            RunFailed: it does not within ``seconds``, or a process has ended meanwhile.
        """
        deadline = time.monotonic() + seconds
        while not holds():
            self.check()
            if time.monotonic() > deadline:
                raise RunFailed(f"{name}: not within {seconds:.0f} s{self.last_lines(name)}")
            time.sleep(_LOOK)

    def log(self, name: str) -> str:
        log: Path = self._processes.log(name)
        return log.read_text(errors="replace") if log.exists() else ""

    def last_lines(self, name: str) -> str:
        """The end of a process' log, for an error."""
        lines = self.log(name).splitlines()[-_TAIL:]
        return "; its last lines:\n" + "\n".join(f"  {line}" for line in lines) if lines else "; it printed nothing"


def inherited_environment() -> dict[str, str]:
    """This process' environment without what would configure wxcheck or Celery."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.upper().startswith(("WXCHECK_", "CELERY_"))
    }
    for name in ("NO_PROXY", "no_proxy"):  # all that is here talks to this machine
        inherited[name] = ",".join(filter(None, [inherited.get(name), HOST]))
    inherited["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "client")])
    inherited["PYTHONUNBUFFERED"] = "1"
    return inherited
