"""``wxcheck`` as an operator runs it: a process of its own, with the settings of a system."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.system import System


def wxcheck_command(system: System, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """``wxcheck ARGUMENTS…``, to its end."""
    environment = {**os.environ, **system.environment}
    environment |= {f"WXCHECK_{name}": value for name, value in settings.items()}
    return subprocess.run(
        [str(Path(sys.executable).with_name("wxcheck")), *arguments],
        cwd=system.directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
