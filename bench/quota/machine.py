"""The machine that the bench runs on: what it is, and the CPU time of its processes."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

#: where Linux tells of processes; elsewhere their CPU time is not told
_PROC = Path("/proc")

_PACKAGES = ("celery", "kombu", "redis", "requests", "limits", "pyrate-limiter", "throttled-py")


def describe_machine(redis: str) -> dict[str, str]:
    """Cores, CPU, system and versions; ``redis`` is the server's name and version."""
    return {
        "cores": str(os.cpu_count()),
        "cpu": _cpu_name(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "redis": redis,
        **{f"{name} (package)": version(name) for name in _PACKAGES},
    }


def in_a_line(machine: dict[str, str]) -> str:
    packages = ", ".join(f"{name.split()[0]} {of}" for name, of in machine.items() if name.endswith("(package)"))
    cores, cpu, system = machine["cores"], machine["cpu"], machine["system"]
    return f"{cores} cores of {cpu}, {system}, Python {machine['python']}, {machine['redis']}; {packages}"


def _cpu_name() -> str:
    try:
        lines = (_PROC / "cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def cpu_seconds(pid: int) -> float | None:
    """User and system time of ``pid`` and of its children that it has waited for; None where it is gone."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # the name, in brackets, may hold spaces: the fields after it are counted from the state, which is the third
    fields = stat.rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")


class CpuMeter:
    """The CPU time of a changing set of processes; what a killed one had used by the last look stays counted."""

    def __init__(self) -> None:
        self._seen: dict[int, float] = {}

    def look(self, pids: Iterable[int]) -> float:
        """Looks at ``pids`` and returns the CPU seconds of all that were ever looked at."""
        for pid in pids:
            used = cpu_seconds(pid)
            if used is not None:
                self._seen[pid] = used
        return sum(self._seen.values())
