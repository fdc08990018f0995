"""Whether a broker that is set apart from the store answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from board.queues import BrokerAway, Queues
from config.names import PUSH_QUEUE
from doctor.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.runtime import Runtime


def examine(runtime: Runtime) -> Iterator[Finding]:
    from worker.app import app

    if runtime.settings.broker == runtime.settings.redis_url:
        return
    try:
        Queues(runtime.settings, app).lengths([PUSH_QUEUE])
    except BrokerAway as away:
        remedy = "start it, or set WXCHECK_BROKER_URL to the one that runs"
        yield Finding("bad", "the broker", str(away), remedy)
    else:
        yield Finding("ok", "the broker", f"{app.connection_for_read().as_uri()} answers")
