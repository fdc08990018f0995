"""``wxcheck`` as an operator runs it: a process of its own, with the settings of a system."""

from __future__ import annotations

import os
import subprocess

from tests.support.forked import WXCHECK, run
from tests.support.system import System


def wxcheck_command(system: System, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """``wxcheck ARGUMENTS…``, to its end."""
    environment = {**os.environ, **system.environment}
    environment |= {f"WXCHECK_{name}": value for name, value in settings.items()}
    return run([WXCHECK, *arguments], system.directory, environment)
