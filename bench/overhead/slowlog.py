"""What each script of a Redis took, by the server's own clock: its slow log, with nothing too fast for it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Any

from redis import Redis

from ops.local.processes import ROOT

#: entries that are kept
_LENGTH = 1_000_000
_RUN_SCRIPTS = ("EVALSHA", "EVAL", "FCALL")


def begin(client: Redis) -> None:
    """Begins to note every command."""
    client.config_set("slowlog-max-len", _LENGTH)
    client.config_set("slowlog-log-slower-than", 0)
    client.slowlog_reset()


def script_times(client: Redis) -> dict[str, list[int]]:
    """Microseconds of each run of a script since :func:`begin`, by the script's name; ends the noting."""
    client.config_set("slowlog-log-slower-than", -1)
    by_hash = names()
    found: dict[str, list[int]] = defaultdict(list)
    for entry in client.slowlog_get(_LENGTH):
        words = _words(entry)
        if words and words[0].upper() in _RUN_SCRIPTS:
            found[by_hash.get(words[1], words[1][:12])].append(int(entry["duration"]))
    return dict(found)


def together(times: dict[str, list[int]], scripts: Sequence[str]) -> float:
    """Microseconds of these scripts, each once: of each the median."""
    return sum(median(times[name]) for name in scripts)


def _words(entry: dict[str, Any]) -> list[str]:
    command = entry["command"]
    text = command.decode(errors="replace") if isinstance(command, bytes) else str(command)
    return text.split(" ", 2)


def names() -> dict[str, str]:
    """The names of wxcheck's scripts, by the hash that Redis knows each by."""
    told = subprocess.run(
        [sys.executable, "-m", "bench.overhead.script_names"], capture_output=True, check=True, cwd=ROOT, text=True
    )
    found: dict[str, str] = json.loads(told.stdout)
    return found
