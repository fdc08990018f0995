"""The machine that the bench runs on: what it is, and the CPU time of its processes."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

#: where Linux tells of processes; elsewhere their CPU time is not told
_PROC = Path("/proc")

#: what every bench runs on
PACKAGES = ("celery", "kombu", "redis", "requests")


def describe_machine(redis: str, packages: Iterable[str] = ()) -> dict[str, str]:
    """Cores, CPU, system and versions; ``redis`` is the server's name and version, ``packages`` are told besides."""
    return {
        "cores": str(os.cpu_count()),
        "cpu": _cpu_name(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "redis": redis,
        **{f"{name} (package)": version(name) for name in (*PACKAGES, *packages)},
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


def family(pid: int) -> list[int]:
    """``pid`` and the processes below it; empty where it is gone."""
    found, unseen = [], [pid]
    while unseen:
        of = unseen.pop()
        try:
            children = [task / "children" for task in (_PROC / str(of) / "task").iterdir()]
            unseen += [int(child) for path in children for child in path.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        found.append(of)
    return found


def family_cpu(pid: int) -> float:
    """CPU seconds of ``pid``, of the processes below it, and of those that they have waited for."""
    return sum(cpu_seconds(of) or 0.0 for of in family(pid))


def resident_bytes(pid: int) -> int:
    """Memory that ``pid`` and the processes below it hold (RSS), in bytes."""
    pages = [(_PROC / str(of) / "statm").read_text().split()[1] for of in family(pid)]
    return sum(map(int, pages)) * os.sysconf("SC_PAGE_SIZE")


def ports_of(pid: int, to: int | None = None) -> list[int]:
    """This machine's ports of the TCP connections of ``pid``, or of those to port ``to``."""
    process = _PROC / str(pid)
    mine = {os.readlink(one) for one in (process / "fd").iterdir()}
    found = []
    for line in (process / "net" / "tcp").read_text().splitlines()[1:]:
        local, remote, inode = (line.split()[field] for field in (1, 2, 9))
        if f"socket:[{inode}]" in mine and to in (None, int(remote.rpartition(":")[2], 16)):
            found.append(int(local.rpartition(":")[2], 16))
    return found


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
