"""Processes that end with this one: the parent's side of :mod:`ops.local.keeper`."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ops.local import keeper
from ops.local.errors import ProcessFailed
from ops.local.interrupt import Interrupted

#: the root of the repository
ROOT = Path(__file__).resolve().parents[2]

#: seconds for the keeper to start; a cold disk or a busy machine takes most of it
_KEEPER_STARTS = 20.0
#: seconds between two looks at a process that is not ready
_LOOK = 0.05
#: lines of a log's end that are told if its process fails
_TAIL_LINES = 15
_TAIL_BYTES = 16_384


class Processes:
    """A set of processes under a keeper, in a directory of their own. Leaving the context ends them and deletes it."""

    #: holds ``NAME.log`` of each process, and their other files; deleted at the end
    directory: Path

    def __init__(self, environment: Mapping[str, str], *, grace: float = keeper.GRACE) -> None:
        """``environment``: the variables of every process. ``grace``: seconds from SIGTERM to SIGKILL."""
        self._environment = dict(environment)
        self._grace = grace
        self._changed = threading.Condition()
        self._pids: dict[str, int] = {}
        self._codes: dict[str, int] = {}
        self._stages: set[int] = set()
        self._ended = False

    def __enter__(self) -> Self:
        self._keeper = subprocess.Popen(
            [sys.executable, "-m", "ops.local.keeper", "--grace", str(self._grace)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment,
            cwd=ROOT,
            start_new_session=True,  # out of reach of the terminal's Ctrl-C
        )
        self._reader = threading.Thread(target=self._read, name="keeper", daemon=True)
        self._reader.start()
        try:
            self._await_directory()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str], cwd: Path, stage: int = 1
    ) -> None:
        """Have the keeper start ``command``. Higher stages end before lower ones."""
        order = {
            "name": name,
            "command": list(command),
            "environment": dict(environment),
            "cwd": str(cwd),
            "stage": stage,
        }
        assert self._keeper.stdin is not None  # noqa: S101 - it was opened as a pipe
        self._stages.add(stage)
        try:
            self._keeper.stdin.write(json.dumps(order).encode() + b"\n")
            self._keeper.stdin.flush()
        except BrokenPipeError:
            raise ProcessFailed(f"{name} could not be started: the keeper of the processes is gone") from None

    def wait_until(self, name: str, ready: Callable[[], bool], timeout: float) -> None:
        """Return as soon as ``ready()`` is true.

        Raises:
            ProcessFailed: a process of the set has ended meanwhile, or ``timeout`` seconds have passed.
        """
        deadline = time.monotonic() + timeout
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise ProcessFailed(f"{name} was not ready within {timeout:.0f} s{self._last_lines(name)}")
            time.sleep(_LOOK)

    def check(self) -> None:
        """Make sure that every process still runs.

        Raises:
            ProcessFailed: one has ended, though nobody told it to; or the keeper has.
        """
        with self._changed:
            codes = dict(self._codes)
            ended = self._ended
        for name, code in codes.items():
            raise ProcessFailed(f"{name} {_told(code)}{self._last_lines(name)}")
        if ended:
            raise ProcessFailed("the keeper of the processes has ended, and they with it")

    def pids(self) -> dict[str, int]:
        """Return the running processes' ids by name."""
        with self._changed:
            return {name: pid for name, pid in self._pids.items() if name not in self._codes}

    def log(self, name: str) -> Path:
        """Return the path of a process' output."""
        return self.directory / f"{name}.log"

    def keep_logs(self) -> Path:
        """Copy every log to a directory that outlives this one. Return that directory."""
        kept = Path(tempfile.mkdtemp(prefix="wxcheck-logs-"))
        for log in self.directory.glob("*.log"):
            shutil.copy(log, kept)
        return kept

    def close(self) -> None:
        """End every process, and wait for that. Bounded: each stage has its grace.

        Raises:
            ProcessFailed: the keeper is still there long after it should have ended.
        """
        with contextlib.suppress(BrokenPipeError):
            if self._keeper.stdin is not None:
                self._keeper.stdin.close()
        try:
            self._await_end()
        except Interrupted:  # comes once, and the wait is bounded: who interrupts finds nothing left either
            self._await_end()
            raise
        self._reader.join()
        if self._keeper.stdout is not None:
            self._keeper.stdout.close()

    def _await_end(self) -> None:
        try:
            self._keeper.wait(self._grace * max(1, len(self._stages)) + _KEEPER_STARTS)
        except subprocess.TimeoutExpired:
            raise ProcessFailed(f"process {self._keeper.pid}, which ends the others, has not ended itself") from None

    def _await_directory(self) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: hasattr(self, "directory") or self._ended, _KEEPER_STARTS):
                raise ProcessFailed(f"the keeper of the processes did not start within {_KEEPER_STARTS:.0f} s")
            if not hasattr(self, "directory"):
                raise ProcessFailed("the keeper of the processes ended at its start; its error is above")

    def _read(self) -> None:
        assert self._keeper.stdout is not None  # noqa: S101 - it was opened as a pipe
        for line in self._keeper.stdout:
            event: dict[str, Any] = json.loads(line)
            with self._changed:
                if "directory" in event:
                    self.directory = Path(event["directory"])
                elif "started" in event:
                    self._pids[event["started"]] = event["pid"]
                else:
                    self._codes[event["exited"]] = event["code"]
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _last_lines(self, name: str) -> str:
        try:
            with self.log(name).open("rb") as log:
                log.seek(max(0, log.seek(0, 2) - _TAIL_BYTES))
                lines = log.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]
        except FileNotFoundError:
            lines = []
        if not lines:
            return "; it printed nothing"
        return "; its last lines:\n" + "\n".join(f"  {line}" for line in lines)


def _told(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
