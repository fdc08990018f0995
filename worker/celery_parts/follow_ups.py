"""The note of each queue to which a worker publishes follow-ups (:mod:`store.watch.follow_ups`)."""

from __future__ import annotations

from typing import Any

from celery.signals import before_task_publish

from store.watch.follow_ups import OWN
from worker.runtime import runtime


def note_follow_ups() -> None:
    """Make this worker note the queues to which it publishes."""
    before_task_publish.connect(_note, weak=False)


def _note(sender: Any = None, routing_key: Any = None, declare: Any = None, **_: Any) -> None:
    if isinstance(sender, str) and sender.startswith(OWN):
        return
    queue = getattr(declare[0], "name", None) if declare else routing_key
    if isinstance(queue, str) and queue:
        runtime().follow_ups.note(queue)
