"""The check of the options of ``celery worker`` at its start.

An option that would end a worker of checks later, or do nothing, stops the worker with the remedy.
"""

from __future__ import annotations

import difflib
import itertools
from typing import TYPE_CHECKING, Any

from config.lanes import QUEUES
from store.watch.follow_ups import OWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: the pools that can run checks, by the modules of Celery
POOLS = ("thread", "solo")
_GREENLETS = "a thread cuts each call at its deadline, for the quota's sake, and greenlets hold it up"
#: why others cannot
_REFUSED = {
    "prefork": "a run moves its check in the process that has taken it, and a child process has taken none",
    "gevent": _GREENLETS,
    "eventlet": _GREENLETS,
}
_THREADS = "run several workers; -P threads -c 96 is the default"
_NO_LIMIT = "leave it out: each call ends after API_TIMEOUT by itself"
_NO_CHILD = "leave it out: threads have no processes of their own; restart the worker instead"
#: options that only a pool of processes obeys: flag, and remedy
_OF_PROCESSES = {
    "time_limit": ("--time-limit", _NO_LIMIT),
    "soft_time_limit": ("--soft-time-limit", _NO_LIMIT),
    "max_tasks_per_child": ("--max-tasks-per-child", _NO_CHILD),
    "max_memory_per_child": ("--max-memory-per-child", _NO_CHILD),
    "pool_start_method": ("--pool-start-method", _NO_CHILD),
}


def refuse(options: Mapping[str, Any], argv: Sequence[str], pool: str, concurrency: int) -> None:
    """Stop the process, in one line, if it cannot do what its ``options`` ask for.

    ``options``: those that Celery has read from ``argv``. ``pool``, ``concurrency``: those of the configuration.

    Raises:
        SystemExit: an option is at fault.
    """
    found = list(faults({"pool": pool, **options}, argv, concurrency))
    if found:
        raise SystemExit(f"celery worker: {'; '.join(found)}")


def faults(options: Mapping[str, Any], argv: Sequence[str], concurrency: int) -> Iterator[str]:
    """Yield a sentence for each option at fault, with the remedy."""
    pool = _name(options["pool"])
    if options.get("autoscale"):
        yield "--autoscale: lanes share a fixed number of slots; say how many with -c 96, or start more workers"
    if pool == "thread" and _says_prefork(argv):
        pool = "prefork"  # Celery takes it for its own default, and would start the pool of the configuration
    if pool not in POOLS:
        yield f"-P {pool}: {_REFUSED.get(pool, 'it is no pool of wxcheck')}; {_THREADS}"
    for option, (flag, remedy) in _OF_PROCESSES.items():
        if options.get(option):
            yield f"{flag}: only a pool of processes obeys it; {remedy}"
    asked = options.get("concurrency")
    if pool == "solo" and isinstance(asked, int) and asked not in (1, concurrency):
        yield f"-c {asked}: -P solo runs one task at a time; use -P threads -c {asked}"
    if options.get("beat") or options.get("scheduler"):
        flag = "-B" if options.get("beat") else "--scheduler"
        yield f"{flag}: wxcheck has no schedule; start celery beat with the application that has one"
    for option, flag in (("queues", "-Q"), ("exclude_queues", "-X")):
        for name in options.get(option) or ():
            if (fault := _fault_of_queue(str(name).strip())) is not None:
                yield f"{flag} {name}: {fault}"


def _name(pool: Any) -> str:
    """Return Celery's name of a pool, from its class, module or name: thread, prefork, solo, gevent, …"""
    module = pool if isinstance(pool, str) else getattr(pool, "__module__", "")
    name = str(module).partition(":")[0].rpartition(".")[2]
    return {"threads": "thread", "processes": "prefork"}.get(name, name)


def _says_prefork(argv: Sequence[str]) -> bool:
    apart = any(option in ("-P", "--pool") and value == "prefork" for option, value in itertools.pairwise(argv))
    return apart or bool({"-Pprefork", "--pool=prefork"} & set(argv))


def _fault_of_queue(name: str) -> str | None:
    """Return the fault of a queue's name that begins as wxcheck's queues do, and is none of them; else None."""
    if not name.startswith(OWN) or name in QUEUES:
        return None
    nearest = difflib.get_close_matches(name, QUEUES, n=len(QUEUES), cutoff=0)
    return f"there is no such queue; the nearest is {nearest[0]}, of {', '.join(nearest)}"
