"""``python -m bench.quota.wxcheck_worker worker …``: ``celery -A worker worker …`` with what the bench changes.

``python -m bench.quota.wxcheck_worker vouch``, before any worker runs, says of the Redis and the appId of wxcheck's
settings that nothing was sent yet, so that the first call need not wait for a pause.

What it changes, each by a variable of the environment, before Celery starts:

``BENCH_WINDOW``     seconds; the quota's window, ``store.quota.permits.WINDOW``, where it is not the real minute
``BENCH_CLOCK_KEY``  a key in Redis; its clock, as scripts and clients read it, is ahead by the microseconds in it
``BENCH_CALLS``      a directory; each second the process writes how often it called each Lua script, by its name
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import Any

import redis.commands.core
from celery.__main__ import main as celery_main

import store.scripts

#: the module and the constant in it that hold the quota's window, in seconds
WINDOW_MODULE, WINDOW_NAME = "store.quota.permits", "WINDOW"
REAL_WINDOW = 60.0

#: seconds between two writes of the counts
_FLUSH = 0.5

#: seconds for one answer of Redis
_STORE_TIMEOUT = 5.0

_CALL_OF_TIME = re.compile(r"""redis\.p?call\(\s*(['"])TIME\1\s*\)""", re.IGNORECASE)
_SHEBANG = re.compile(r"\A#!.*\n")

#: TIME answers strings; in a double, microseconds since the epoch are exact
_STEPPED_CLOCK = """local function bench_time()
  local now = redis.call('TIME')
  local us = now[1] * 1000000 + now[2] + (tonumber(redis.call('GET', '{key}')) or 0)
  return {{string.format('%.0f', math.floor(us / 1000000)), string.format('%.0f', us % 1000000)}}
end
"""

#: sha1 of a script, as Redis has it, and its name
_names: dict[str, str] = {}
_calls: Counter[str] = Counter()


def with_stepped_clock(source: str, key: str) -> str:
    """``source`` (Lua) with a clock that is ahead of Redis' own by the microseconds in ``key``. Pure.

    A source that does not read the clock comes back as it is.
    """
    stepped, replaced = _CALL_OF_TIME.subn("bench_time()", source)
    if not replaced:
        return source
    shebang = _SHEBANG.match(stepped)
    start = shebang.end() if shebang else 0  # Redis reads the flags of a script in its very first line only
    return stepped[:start] + _STEPPED_CLOCK.format(key=key) + stepped[start:]


def set_window(window: float) -> None:
    """Sets the quota's window of wxcheck, also where it has been imported by its name already.

    Raises:
        SystemExit: wxcheck has no such constant.
    """
    if importlib.util.find_spec(WINDOW_MODULE) is None:
        raise SystemExit(
            f"bench: there is no {WINDOW_MODULE}, so the quota's window stays {REAL_WINDOW:g} s; take --scale full"
        )
    quota = importlib.import_module(WINDOW_MODULE)
    before = getattr(quota, WINDOW_NAME, None)
    if not isinstance(before, (int, float)):
        raise SystemExit(f"bench: {WINDOW_MODULE}.{WINDOW_NAME} is {before!r}, not the quota's window in seconds")
    value = type(before)(window)
    for name, module in list(sys.modules.items()):
        ours = name.partition(".")[0] in ("config", "status", "store", "tasks", "worker")
        if ours and getattr(module, WINDOW_NAME, None) == before:
            setattr(module, WINDOW_NAME, value)


def read_scripts_through(change: Callable[[str], str]) -> None:
    """Has every Lua script go through ``change`` before it is registered, and its name be known by its hash."""
    original = store.scripts.whole

    @cache
    def whole(name: str) -> str:
        text = change(original(name))
        _names[sha1(text.encode(), usedforsecurity=False).hexdigest()] = name
        return text

    store.scripts.whole = whole


def step_time(key: str) -> None:
    """Has ``TIME``, too, answer what the scripts' clock shows, which is ahead by the microseconds in ``key``."""
    commands: Any = redis.commands.core.ManagementCommands
    original = commands.time

    def stepped(self: Any) -> tuple[int, int]:
        seconds, microseconds = original(self)
        return divmod(int(seconds) * 1_000_000 + int(microseconds) + int(self.get(key) or 0), 1_000_000)

    commands.time = stepped


def count_calls(directory: Path) -> None:
    """Counts the calls of each script, and writes the counts to ``directory``/``PID.json`` while the process lives."""
    call = redis.commands.core.Script.__call__

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        _calls[_names.get(self.sha, self.sha)] += 1
        return call(self, *args, **kwargs)

    redis.commands.core.Script.__call__ = counted  # type: ignore[method-assign]

    def write() -> None:
        path = directory / f"{os.getpid()}.json"
        while True:
            fresh = path.with_suffix(".new")
            fresh.write_text(json.dumps(dict(_calls)))
            fresh.replace(path)
            time.sleep(_FLUSH)

    threading.Thread(target=write, name="bench-calls", daemon=True).start()


def vouch_for_all() -> None:
    """Says that nothing was sent yet, and prints that it has."""
    from config.settings import load_settings
    from store.connection import connect
    from store.places.vouching import vouch

    settings = load_settings("worker")
    with connect(settings.redis_url, _STORE_TIMEOUT) as store:
        for appid in settings.programs:
            vouch(store, appid)
    print("vouched", flush=True)


def main() -> None:
    if sys.argv[1:] == ["vouch"]:
        vouch_for_all()
        return
    key = os.environ.get("BENCH_CLOCK_KEY")
    if key:
        step_time(key)
    read_scripts_through((lambda source: with_stepped_clock(source, key)) if key else (lambda source: source))
    if directory := os.environ.get("BENCH_CALLS"):
        count_calls(Path(directory))
    window = float(os.environ.get("BENCH_WINDOW", REAL_WINDOW))
    if window != REAL_WINDOW:
        set_window(window)
    sys.argv = ["celery", "-A", "worker", *sys.argv[1:]]
    celery_main()


if __name__ == "__main__":
    main()
