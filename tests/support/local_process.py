"""A command line of the local system as its user starts it, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Self


class LocalProcess:
    """``python -m MODULE`` in a directory of its own, with none of the developer's settings, in a group of its own."""

    def __init__(self, directory: Path, *command: str, **settings: str) -> None:
        self.temporary = directory / "tmp"
        self.temporary.mkdir()
        self._mark = f"LOCAL_PROCESS_MARK={uuid.uuid4().hex}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WXCHECK_")}
        name, _, value = self._mark.partition("=")
        environment |= {"TMPDIR": str(self.temporary), name: value, **settings}
        self.printed = ""
        self._errors = (directory / "stderr").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=directory,
            env=environment,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._errors.close()

    def read_until(self, word: str) -> None:
        """Reads what it prints, to the line that holds ``word``."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed += line
            if word in line:
                return
        raise AssertionError(f"{word!r} was not printed, but:\n{self.printed}\n{self.errors()}")

    def end(self, number: signal.Signals | None = None, timeout: float = 60) -> int:
        """Sends a signal to its whole group, as Ctrl-C in a terminal does; its exit code."""
        if number is not None:
            os.killpg(self.process.pid, number)
        assert self.process.stdout is not None
        self.printed += self.process.stdout.read()
        return self.process.wait(timeout)

    def errors(self) -> str:
        """Its output on stderr."""
        self._errors.seek(0)
        return self._errors.read()

    def processes(self) -> dict[int, str]:
        """The command lines of all that it started and that still runs, itself included, by process id."""
        return dict(self._marked())

    def leaves_nothing(self, within: float = 0) -> bool:
        """Whether, ``within`` seconds at most, no process and no temporary file of it is left."""
        deadline = time.monotonic() + within
        while self.processes() or any(self.temporary.iterdir()):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def _is_ours(self, entry: Path) -> bool:
        # a Redis writes its title over its environment, but works in a directory of ours
        marked = self._mark.encode() in (entry / "environ").read_bytes().split(b"\0")
        return marked or str((entry / "cwd").readlink()).startswith(str(self.temporary))

    def _marked(self) -> Iterator[tuple[int, str]]:
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and self._is_ours(entry):
                    yield int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (FileNotFoundError, PermissionError, ProcessLookupError):
                continue
