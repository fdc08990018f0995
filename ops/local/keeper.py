"""``python -m ops.local.keeper``: starts processes for another one, and ends them when that one ends, however it ends.

The keeper has a session of its own, so that neither Ctrl-C in the terminal nor a signal to its parent's group reaches
it. The parent holds the other end of the keeper's stdin. At EOF there (the parent closed it, or died, SIGKILL
included) or on SIGTERM the keeper ends its children in the reverse order of their stages: SIGTERM to each, ``--grace``
seconds of waiting, SIGKILL to the rest of each child's process group. Then the keeper deletes the directory that it
made for the children's files, and exits.

In, one JSON object a line: ``{"name", "command": […], "environment": {…}, "cwd", "stage"}`` starts a process, with the
keeper's own environment and these variables, and its output in ``NAME.log`` of the directory.
Out, one JSON object a line: ``{"directory"}`` first; ``{"started": name, "pid"}``; ``{"exited": name, "code"}``, where
a negative code is the number of the signal that killed it, and 127 means that it could not be started.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STDIN, STDOUT = 0, 1

#: seconds between SIGTERM and SIGKILL, for each stage
GRACE = 8.0
#: seconds between two looks at children that have been told to end
_LOOK = 0.02
#: shells' exit code of a command that cannot be run
_NOT_STARTED = 127


@dataclass
class _Child:
    name: str
    stage: int
    process: subprocess.Popen[bytes]


class Keeper:
    """The children, and the directory that holds their files."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._children: list[_Child] = []
        self._stopping = False

    def run(self) -> None:
        """Start the processes that stdin asks for, until EOF or SIGTERM; then end them, and delete the directory."""
        wake, woken = socket.socketpair()
        with wake, woken, selectors.DefaultSelector() as selector:
            wake.setblocking(False)
            woken.setblocking(False)
            signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
            # handlers, not SIG_IGN: an ignored signal stays ignored in every process that the keeper starts
            signal.signal(signal.SIGINT, lambda *_: None)
            signal.signal(signal.SIGHUP, lambda *_: None)
            signal.signal(signal.SIGCHLD, lambda *_: None)
            signal.signal(signal.SIGTERM, self._on_term)
            selector.register(STDIN, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            # made here, not in the parent: from the first moment it belongs to the process that deletes it
            self._directory = Path(tempfile.mkdtemp(prefix="wxcheck-"))
            try:
                _tell(directory=str(self._directory))
                self._serve(selector, woken)
            finally:
                self._end()
                signal.set_wakeup_fd(-1)
                shutil.rmtree(self._directory)

    def _on_term(self, *_: object) -> None:
        self._stopping = True

    def _serve(self, selector: selectors.BaseSelector, woken: socket.socket) -> None:
        pending = b""
        while not self._stopping:
            for key, _ in selector.select():
                if key.fileobj is woken:
                    woken.recv(4096)
                    continue
                received = os.read(STDIN, 65536)
                if not received:
                    return
                *lines, pending = (pending + received).split(b"\n")
                for line in lines:
                    self._start(**json.loads(line))
            self._reap()

    def _start(self, name: str, command: list[str], environment: dict[str, str], cwd: str, stage: int) -> None:
        with (self._directory / f"{name}.log").open("ab") as log:
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **environment},
                    cwd=cwd,
                    process_group=0,
                )
            except OSError as error:
                log.write(f"{command[0]} could not be started: {error}\n".encode())
                log.flush()
                _tell(exited=name, code=_NOT_STARTED)
                return
        self._children.append(_Child(name, stage, process))
        _tell(started=name, pid=process.pid)

    def _reap(self) -> None:
        """Tell of the children that ended, and end the rest of their process groups."""
        for child in list(self._children):
            code = child.process.poll()
            if code is not None:
                self._children.remove(child)
                _kill_group(child.process.pid)
                _tell(exited=child.name, code=code)

    def _end(self) -> None:
        for stage in sorted({child.stage for child in self._children}, reverse=True):
            self._end_stage(stage)

    def _end_stage(self, stage: int) -> None:
        members = [child for child in self._children if child.stage == stage]
        for child in members:
            # to the child alone: it ends its own processes, and a pool's process would drop its task
            child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self._grace
        while any(child in self._children for child in members) and time.monotonic() < deadline:
            time.sleep(_LOOK)
            self._reap()
        for child in members:
            if child in self._children:
                _kill_group(child.process.pid)
                child.process.wait()
        self._reap()


def _kill_group(group: int) -> None:
    # macOS answers EPERM if only zombies are left
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _tell(**event: Any) -> None:
    # The parent is gone, and nobody reads this; EOF on stdin follows.
    with contextlib.suppress(BrokenPipeError):
        os.write(STDOUT, json.dumps(event).encode() + b"\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ops.local.keeper", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--grace", type=float, default=GRACE, help="seconds between SIGTERM and SIGKILL")
    arguments = parser.parse_args()
    Keeper(arguments.grace).run()


if __name__ == "__main__":
    main()
