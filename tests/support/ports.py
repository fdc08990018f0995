"""Ports for a test's servers, each given to one test only: between its choice and its use another may look too."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator

from ops.local.ports import is_free

#: below the ports that the project itself chooses, which are below those for outgoing connections
_LOWEST, _HIGHEST = 10_000, 20_000

_processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_own = range(_LOWEST + _process, _HIGHEST, _processes)
# two runs at once begin at different ones
_start = random.randrange(len(_own))
_ports: Iterator[int] = itertools.cycle([*_own[_start:], *_own[:_start]])


def free_port() -> int:
    """A TCP port that nobody listens on at 127.0.0.1, and that no other test of this run is given."""
    return next(port for port in itertools.islice(_ports, len(_own)) if is_free("127.0.0.1", port))
