"""The keeper ends what it started, and deletes its directory, however its parent ends.

Tests: ops.local.keeper, ops.local.processes
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.local.errors import ProcessFailed
from ops.local.processes import ROOT, Processes

SLEEP = [sys.executable, "-c", "import time; time.sleep(120)"]

#: ends on SIGTERM only after a second, and starts a process that it does not end
SLOW = """
import signal, subprocess, sys, time
orphan = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
def end(*_):
    time.sleep(1)
    print("ended well", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("orphan", orphan.pid, flush=True)
while True:
    time.sleep(120)
"""

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
print("child", child.pid, flush=True)
while True:
    time.sleep(120)
"""

#: starts three processes, prints their ids and the directory, and waits
PARENT = f"""
import os, re, signal, sys, time
from pathlib import Path
from ops.local.processes import Processes
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
with Processes(os.environ, grace=2) as processes:
    for name, code in (("slow", {SLOW!r}), ("stubborn", {STUBBORN!r})):
        processes.start(name, [sys.executable, "-c", code], environment={{}}, cwd=Path.cwd())
    def printed():
        return [re.search(r"\\d+", processes.log(name).read_text()) for name in ("slow", "stubborn")]
    processes.wait_until("slow", lambda: len(processes.pids()) == 2 and all(printed()), 20)
    pids = [processes._keeper.pid, *processes.pids().values(), *(found[0] for found in printed())]
    print(processes.directory, *pids, flush=True)
    time.sleep(120)
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # what nobody has reaped yet in a container without an init is as good as gone
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def gone_within(seconds: float, pids: list[int]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(alive(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_the_parent_is_killed(parent: subprocess.Popen[str], how: signal.Signals) -> None:
    assert parent.stdout is not None
    directory, *printed = parent.stdout.readline().split()
    pids = [int(pid) for pid in printed]
    assert len(pids) == 5  # the keeper, its two children, and one of each of these
    assert all(alive(pid) for pid in pids)
    assert Path(directory).is_dir()

    parent.send_signal(how)

    assert gone_within(15, pids)
    assert not Path(directory).exists()


def test_a_process_has_the_time_to_end_well_before_the_rest_of_its_group_is_killed() -> None:
    with Processes(os.environ, grace=5) as processes:
        processes.start("slow", [sys.executable, "-c", SLOW], environment={}, cwd=ROOT)
        processes.wait_until("slow", lambda: "orphan" in log_of(processes, "slow"), 10)
        orphan = int(log_of(processes, "slow").split()[1])
        os.kill(processes.pids()["slow"], signal.SIGTERM)
        with pytest.raises(ProcessFailed, match=r"slow ended with code 0; its last lines:\n  orphan \d+\n  ended well"):
            processes.wait_until("slow", lambda: False, 10)
        assert gone_within(5, [orphan])


def test_higher_stages_are_ended_before_lower_ones(tmp_path: Path) -> None:
    told = tmp_path / "told"
    code = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        "    time.sleep(float(sys.argv[2]))\n"
        "    open(sys.argv[3], 'a').write(sys.argv[1])\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('here', flush=True)\n"
        "time.sleep(120)\n"
    )
    with Processes(os.environ) as processes:
        for name, stage, delay in (("a", 0, "0"), ("b", 2, "0.5"), ("c", 1, "0.2")):
            command = [sys.executable, "-c", code, name, delay, str(told)]
            processes.start(name, command, environment={}, cwd=ROOT, stage=stage)
        processes.wait_until("a", lambda: all("here" in log_of(processes, name) for name in "abc"), 10)
    assert told.read_text() == "bca"


def test_a_process_that_dies_is_told_with_its_name_its_code_and_its_last_lines() -> None:
    code = "import sys\nfor number in range(100): print('line', number)\nsys.exit(3)"
    with Processes(os.environ) as processes:
        processes.start("well", SLEEP, environment={}, cwd=ROOT)
        processes.start("worker", [sys.executable, "-c", code], environment={}, cwd=ROOT)
        with pytest.raises(ProcessFailed) as failure:
            processes.wait_until("well", lambda: False, 10)
        kept = processes.keep_logs()
    message = str(failure.value)
    assert message.startswith("worker ended with code 3; its last lines:\n  line 85\n")
    assert message.endswith("\n  line 99")
    assert sorted(log.name for log in kept.iterdir()) == ["well.log", "worker.log"]
    for log in kept.iterdir():
        log.unlink()
    kept.rmdir()


def test_a_process_killed_by_a_signal_is_told_as_that() -> None:
    with Processes(os.environ) as processes:
        processes.start("well", SLEEP, environment={}, cwd=ROOT)
        processes.wait_until("well", lambda: bool(processes.pids()), 10)
        os.kill(processes.pids()["well"], signal.SIGKILL)
        with pytest.raises(ProcessFailed, match="well was killed by signal 9; it printed nothing"):
            processes.wait_until("well", lambda: False, 10)


def test_a_command_that_is_not_there_is_told() -> None:
    with Processes(os.environ) as processes:
        processes.start("server", ["/nowhere/server"], environment={}, cwd=ROOT)
        with pytest.raises(ProcessFailed, match=r"(?s)ended with code 127.*/nowhere/server could not be started"):
            processes.wait_until("server", lambda: False, 10)


def test_a_process_that_is_not_ready_in_time_is_told() -> None:
    with Processes(os.environ) as processes:
        processes.start("well", SLEEP, environment={}, cwd=ROOT)
        with pytest.raises(ProcessFailed, match=r"well was not ready within 0 s; it printed nothing"):
            processes.wait_until("well", lambda: False, 0.2)


def test_a_keeper_that_is_killed_is_noticed() -> None:
    with Processes(os.environ) as processes:
        os.kill(processes._keeper.pid, signal.SIGKILL)
        with pytest.raises(ProcessFailed, match="keeper of the processes"):
            processes.wait_until("well", lambda: False, 10)
        directory = processes.directory
    directory.rmdir()


def log_of(processes: Processes, name: str) -> str:
    log = processes.log(name)
    return log.read_text() if log.exists() else ""
