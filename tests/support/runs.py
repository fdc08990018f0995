"""Runs of tasks as the store knows them."""

from __future__ import annotations

from store.outbox.outbox import Run

#: the list of the broker that :func:`run_named` publishes to
FOLLOW_UPS = "follow-ups"


def run_named(token: str, *messages: str) -> Run:
    """A run that has ``messages`` to publish at its end."""
    run = Run()
    run.is_recorded = True
    run.token = token
    for message in messages:
        run.messages += [FOLLOW_UPS, message]
    return run
