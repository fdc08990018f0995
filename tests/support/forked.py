"""Programs of the tests, started by the process of :mod:`tests.support.fork_server`: a tenth of the work of a command.

A program that proves how it is started by its command is started by that: ``subprocess``, or ``Running(fresh=True)``.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

#: the command of the operators
WXCHECK = str(Path(sys.executable).with_name("wxcheck"))

#: what a program may find in its environment that an interpreter reads when it starts
_HARMLESS = ("PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")


class Forked:
    """A program that runs, in a session of its own; as far as tests need it, like a :class:`subprocess.Popen`."""

    def __init__(
        self, command: list[str], directory: Path, environment: dict[str, str], output: int, errors: int
    ) -> None:
        self.args = command
        self.returncode: int | None = None
        module = command[0] == sys.executable
        arguments = command[2:] if module else command
        asked = {
            "module": module,
            "arguments": arguments,
            "first": str(directory if module else Path(arguments[0]).parent),
            "directory": str(directory),
            "environment": environment,
        }
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            socket.send_fds(_server(), [json.dumps(asked).encode()], [output, errors, theirs.fileno()])
        self.pid = int(self._told())

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._channel], [], [], 0)[0]:
            self._end()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._channel], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            self._end()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _end(self) -> None:
        self.returncode = int(self._told())
        self._channel.close()

    def _told(self) -> bytes:
        told = self._channel.recv(64)
        assert told, "the process that starts programs is gone"
        return told


@functools.cache
def _server() -> socket.socket:
    """The process that starts the programs of this one, and ends with it."""
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with theirs:
        # -P: the folder of the file is not a place to import from
        server = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("fork_server.py"))],
            stdin=theirs.fileno(),
            env=environment,
            start_new_session=True,
            preexec_fn=heed_interrupts,
        )

    def end() -> None:
        control.close()
        server.wait()

    atexit.register(end)
    return control


def heed_interrupts() -> None:
    """For a process to be: a run of the tests in the background ignores Ctrl-C, and what it starts would too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def can_fork(command: list[str], environment: dict[str, str]) -> bool:
    """Whether ``command`` is a Python program of this environment, which needs no interpreter that starts anew."""
    if sys.platform != "linux" or (command[:2] != [sys.executable, "-m"] and command[0] != WXCHECK):
        return False
    if any(name.startswith(("PYTHON", "LD_")) and name not in _HARMLESS for name in environment):
        return False
    # what starts with the interpreter may be there
    folders = environment.get("PYTHONPATH", "").split(os.pathsep)
    return not any(Path(folder, "sitecustomize.py").exists() for folder in folders if folder)


def start(
    command: list[str], directory: Path, environment: dict[str, str], output: int, errors: int, *, fresh: bool = False
) -> Forked | subprocess.Popen[bytes]:
    """Starts a command in a session of its own, forked where it can be, and not ``fresh``."""
    if not fresh and can_fork(command, environment):
        return Forked(command, directory, environment, output, errors)
    return subprocess.Popen(
        command,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )


def run(
    command: list[str], directory: Path, environment: dict[str, str], timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Runs a Python program to its end, as :func:`subprocess.run` does with ``capture_output``.

    Raises:
        subprocess.TimeoutExpired: it has not ended in time, and was killed.
    """
    with contextlib.ExitStack() as stack:
        output, errors = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))
        program = start(command, directory, environment, output.fileno(), errors.fileno())
        try:
            status = program.wait(timeout)
        finally:
            program.kill()
            program.wait()
        said = []
        for file in (output, errors):
            file.seek(0)
            said.append(file.read().decode())
    return subprocess.CompletedProcess(command, status, *said)
