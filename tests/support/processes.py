"""Processes of a test: started with an environment of their own, ended with the test, their output kept in a file."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from tests.support.forked import start

ROOT = Path(__file__).resolve().parents[2]

#: seconds; generous, for a deadline that passes only when something is wrong
PATIENCE = 60.0


def eventually(holds: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Waits until ``holds()`` is true; fails with ``what`` did not come true."""
    deadline = time.monotonic() + seconds
    pause = 0.01
    is_over = False
    while not holds():
        assert not is_over, f"{what}: not within {seconds:.0f} s"
        time.sleep(pause)
        # this process may have stood still since it last asked: it asks once more
        is_over = time.monotonic() > deadline
        # to ask is work for whoever is asked, and for this process
        pause = min(1.2 * pause, 0.05)


class Running:
    """``python -m ARGUMENTS…`` (or a command by its path), in a process group of its own.

    Not in the root of the repository: a developer's own ``.env`` there must not reach a test.
    """

    def __init__(
        self, name: str, arguments: list[str], environment: dict[str, str], directory: Path, *, fresh: bool = False
    ) -> None:
        """``fresh``: an interpreter of its own is started, as by the command, and none is forked."""
        self.name = name
        self._log = directory / f"{name}.log"
        command = arguments if arguments[0].startswith("/") else [sys.executable, "-m", *arguments]
        whole = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environment}
        with self._log.open("wb") as log:
            self.process = start(command, directory, whole, log.fileno(), log.fileno(), fresh=fresh)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def output(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, word: str) -> None:
        """Waits until it printed ``word``."""

        def printed() -> bool:
            if self.process.poll() is not None and word not in self.output:
                raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.output}")
            return word in self.output

        eventually(printed, f"{self.name} prints {word!r}; it printed:\n{self.output}")

    def kill(self) -> None:
        """SIGKILL, to the whole group."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def freeze(self) -> None:
        """SIGSTOP: it keeps its connections and answers nobody."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)

    def stop(self, seconds: float = 30) -> int:
        """SIGTERM, as an operator would; its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(seconds)
        finally:
            self.kill()
