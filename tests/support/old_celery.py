"""Virtual environments of applications on an older Celery, made from PyPI when a test needs one, and kept under build/.

What each holds is pinned in ``tests/old_celery``; it is made anew where that, or the Python, has changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.processes import ROOT

PINS = ROOT / "tests" / "old_celery"
#: where they are kept: git ignores it, ``make clean`` removes it
KEPT = ROOT / "build" / "old-celery"
#: every version that the client supports beside the workers' own, the oldest first
VERSIONS = tuple(sorted(path.stem.removeprefix("celery-") for path in PINS.glob("celery-*.txt")))

#: seconds to fetch and install one, from a PyPI that is slow; a few seconds else
_LONGEST = 180


def python_of(version: str) -> Path:
    """The Python of an environment with Celery ``version``, which is made where there is none yet.

    Raises:
        AssertionError: pip could not make it; with what pip said.
    """
    pins = PINS / f"celery-{version}.txt"
    made_of = hashlib.sha256(pins.read_bytes() + sys.version.encode() + sys.executable.encode()).hexdigest()[:12]
    place = KEPT / f"{version}-{made_of}"
    python = place / "bin" / "python"
    stamp = place / "complete"
    KEPT.mkdir(parents=True, exist_ok=True)
    # tests run in several processes
    with (KEPT / f"{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists():
            for older in KEPT.glob(f"{version}-*"):
                shutil.rmtree(older)
            _run(sys.executable, "-m", "venv", "--without-pip", str(place))
            pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "--quiet"]
            # binaries only: building one runs what its author likes, and takes its time
            _run(*pip, "install", "--no-deps", "--only-binary", ":all:", "-r", str(pins))
            _run(*pip, "check")
            stamp.touch()
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
