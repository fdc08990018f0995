"""The look at the queues and processes: a worker consumes each queue, an endpoint runs, all have the same version."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from config.lanes import READY_OF
from config.names import PUSH_QUEUE
from ops.doctor.finding import Finding
from status.queues import BrokerAway, Queues
from store.places.census import Census
from store.watch.presence import Presence, alive
from store.watch.servers import Server, Servers, differing
from wxcheck import MEDIA_QUEUE, TEXT_QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import Future

    from celery import Celery

    from worker.runtime import Runtime

_WITHOUT = {
    TEXT_QUEUE: "texts wait",
    MEDIA_QUEUE: "pictures and sounds wait",
    PUSH_QUEUE: "verdicts on pictures and sounds wait, and their checks end in PushTimeout",
}


def examine(runtime: Runtime, celery_app: Celery, broker_answers: Future[bool]) -> Iterator[Finding]:
    processes = alive(runtime.store)
    lengths: dict[str, int] = {}
    if broker_answers.result():
        with suppress(BrokerAway):  # the broker went away meanwhile
            lengths = Queues(runtime.settings, celery_app).lengths(_WITHOUT)
    counts = Census(runtime.store, runtime.shard).counts([], time.time())
    ready = {READY_OF[queue]: number for queue, number in counts.ready.items()}
    yield from told(processes, lengths, ready, Servers(runtime.settings).told())


def told(
    processes: list[Presence], lengths: Mapping[str, int], ready: Mapping[str, int], servers: Mapping[str, Server]
) -> Iterator[Finding]:
    """Yield the findings about processes and queues. Pure.

    ``lengths``: messages by queue, as far as they are known. ``ready``: checks by the queue whose workers tell them
    their end. ``servers``: the servers of this process.
    """
    workers = [process for process in processes if process.kind == "worker" and _meets(process, servers)]
    for name in _WITHOUT:
        yield _queue(name, workers, lengths.get(name), ready.get(name, 0))
    yield _endpoint(processes)
    yield from _servers(processes, servers)
    versions = sorted({process.version for process in processes})
    if len(versions) > 1:
        by_version = "; ".join(f"{version}: {_names(processes, version)}" for version in versions)
        yield Finding("warn", "versions", f"processes of several run: {by_version}", "start the older ones again")


def _queue(name: str, workers: list[Presence], messages: int | None, ready: int) -> Finding:
    serving = [worker.name for worker in workers if name in worker.queues]
    waiting = "" if messages is None else f"; {messages:,} messages wait in it"
    waiting += f"; {ready:,} checks wait for a run that tells their end" if ready else ""
    if serving:
        return Finding("ok", name, f"served by {', '.join(serving)}{waiting}")
    said = f"no worker serves it{waiting}: {_WITHOUT[name]}"
    return Finding("bad", name, said, f"start one: celery -A worker worker -Q {name}")


def _meets(process: Presence, servers: Mapping[str, Server]) -> bool:
    """True if a process has the same broker, as far as is known: processes of any broker are present in the store."""
    marks = {having["broker"].mark for having in (process.servers, servers) if "broker" in having}
    return len(marks - {None}) < 2


def _servers(processes: list[Presence], servers: Mapping[str, Server]) -> Iterator[Finding]:
    having = {"wxcheck doctor": servers, **{process.name: process.servers for process in processes}}
    for role, by_place in differing(having):
        listed = "; ".join(f"{place}: {', '.join(names)}" for place, names in by_place.items())
        said = f"not all processes have the same {_ROLES[role]}: {listed}"
        yield Finding("bad", "servers", said, f"set {_SETTINGS[role]} alike for all, and start those that had another")


_ROLES = {"store": "store", "broker": "broker", "results": "result backend"}
_SETTINGS = {"store": "WXCHECK_REDIS_URL", "broker": "WXCHECK_BROKER_URL", "results": "WXCHECK_RESULT_BACKEND"}


def _endpoint(processes: list[Presence]) -> Finding:
    names = [process.name for process in processes if process.kind == "endpoint"]
    if names:
        return Finding("ok", "endpoint", f"runs: {', '.join(names)}")
    return Finding("bad", "endpoint", "none runs: pushes are lost", "start it: python -m callbacks")


def _names(processes: list[Presence], version: str) -> str:
    return ", ".join(process.name for process in processes if process.version == version)
