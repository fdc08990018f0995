"""Starts Python programs by forking: it has imported the libraries that all of them use, and nothing of the project.

An interpreter that starts with Celery, Redis and Pydantic needs more than half a second of a processor, and the tests
start hundreds. :mod:`tests.support.forked` runs this file as a process of its own and asks it on the socket that is its
standard input. One packet asks for one program: a JSON object with three files, the program's output, its errors, and a
channel. The channel is told the program's process id, then its exit status. The program stays a zombie until the other
end of the channel is closed: nobody can signal a stranger who got its id.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import selectors
import socket
import sys
from typing import Any

#: what the programs import of others; nothing of the project, whose modules read the settings as they are imported
LIBRARIES = (
    "celery.apps.worker",
    "celery.backends.redis",
    "celery.bin.celery",
    "celery.bin.worker",
    "celery.concurrency.prefork",
    "celery.concurrency.thread",
    "celery.fixups.django",
    "celery.worker.consumer",
    "cryptography.hazmat.primitives.ciphers",
    "defusedxml.ElementTree",
    "kombu.transport.pyamqp",
    "kombu.transport.redis",
    "prometheus_client.core",
    "pydantic_settings",
    "redis",
    "requests",
    "rich.console",
    "rich.table",
    "starlette.applications",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.h11_impl",
    "uvicorn.protocols.http.httptools_impl",
)

_PACKET = 1 << 20


def _serve(control: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Forks programs until nobody asks any more; returns in each of them, with what was asked and its files."""
    waiting = selectors.DefaultSelector()
    waiting.register(control.fileno(), selectors.EVENT_READ, "asked")
    while True:
        for key, _ in waiting.select():
            if key.data == "asked":
                packet, files, _, _ = socket.recv_fds(control, _PACKET, 3)
                if not packet:
                    sys.exit()
                program = os.fork()
                if program == 0:
                    # told once it has a group of its own, which may be killed from then on
                    os.setsid()
                    os.write(files[2], str(os.getpid()).encode())
                    waiting.close()
                    control.detach()
                    return json.loads(packet), files
                output, errors, channel = files
                os.close(output)
                os.close(errors)
                waiting.register(os.pidfd_open(program), selectors.EVENT_READ, (program, channel))
            elif isinstance(key.data, tuple):
                program, channel = key.data
                ended = os.waitid(os.P_PID, program, os.WEXITED | os.WNOWAIT)
                assert ended is not None
                status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
                _forget(waiting, key.fd)
                _tell(channel, status)
                waiting.register(channel, selectors.EVENT_READ, program)
            else:
                _forget(waiting, key.fd)
                os.waitpid(key.data, 0)


def _forget(waiting: selectors.BaseSelector, file: int) -> None:
    waiting.unregister(file)
    os.close(file)


def _tell(channel: int, status: int) -> None:
    try:
        os.write(channel, str(status).encode())
    except BrokenPipeError:
        return  # it is not waited for any more: the channel's end is read next


def _become(asked: dict[str, Any], files: list[int]) -> None:
    """Makes this process one that was started by a command."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for file, number in zip((nothing, *files[:2]), (0, 1, 2), strict=True):
        os.dup2(file, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(asked["directory"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.path[:0] = [asked["first"], *filter(None, asked["environment"].get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv[:] = asked["arguments"]


if __name__ == "__main__":
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.collect()
    gc.freeze()
    asked, files = _serve(socket.socket(fileno=os.dup(0)))
    _become(asked, files)
    if asked["module"]:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")
