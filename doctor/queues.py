"""Whether every queue is consumed and an endpoint runs, all of the same version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from board.queues import BrokerAway, Queues
from config.names import PUSH_QUEUE
from doctor.finding import Finding
from worker.presence import Presence, alive
from wxcheck import MEDIA_QUEUE, TEXT_QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.runtime import Runtime

_WITHOUT = {
    TEXT_QUEUE: "texts wait",
    MEDIA_QUEUE: "pictures and sounds wait",
    PUSH_QUEUE: "verdicts on pictures and sounds wait, and their checks end in PushTimeout",
}


def examine(runtime: Runtime) -> Iterator[Finding]:
    from worker.app import app

    processes = alive(runtime.store)
    try:
        lengths = Queues(runtime.settings, app).lengths(_WITHOUT)
    except BrokerAway:
        lengths = {}  # told before
    for name, without in _WITHOUT.items():
        yield _queue(name, without, processes, lengths.get(name))
    yield _endpoint(processes)
    versions = sorted({process.version for process in processes})
    if len(versions) > 1:
        yield Finding(
            "warn", "versions", f"processes of several run: {', '.join(versions)}", "start the older ones again"
        )


def _queue(name: str, without: str, processes: list[Presence], length: int | None) -> Finding:
    consumers = [process.name for process in processes if name in process.queues]
    waiting = "" if length is None else f"; {length:,} messages wait in it"
    if consumers:
        return Finding("ok", name, f"consumed by {', '.join(consumers)}{waiting}")
    return Finding(
        "bad", name, f"no worker consumes it{waiting}: {without}", f"start one: celery -A worker worker -Q {name}"
    )


def _endpoint(processes: list[Presence]) -> Finding:
    names = [process.name for process in processes if process.kind == "endpoint"]
    if names:
        return Finding("ok", "endpoint", f"runs: {', '.join(names)}")
    return Finding("bad", "endpoint", "none runs: pushes are lost", "start it: python -m callbacks")
