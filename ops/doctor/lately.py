"""The look at recent troubles, by the processes' own counts: some faults show only when pushes and answers come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.doctor.finding import Finding
from status.numbers import Numbers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from celery import Celery

    from worker.runtime import Runtime

#: troubles of the board that are not looked at otherwise
_TOLD = ("push_", "pushes_", "appid_refused", "platform_away", "lane_", "backlog_long", "follow_ups_", "messages_")


def examine(runtime: Runtime, celery_app: Celery, broker_answers: Future[bool]) -> Iterator[Finding]:
    if not broker_answers.result():
        yield Finding("skipped", "lately", "not looked at while the broker does not answer")
        return
    troubles = [
        trouble
        for trouble in Numbers(runtime.settings, celery_app).read()["troubles"]
        if trouble["key"].startswith(_TOLD) or trouble["key"].endswith("_stuck")
    ]
    for trouble in troubles:
        yield Finding(trouble["level"], "lately", trouble["said"]["en"], trouble["remedy"]["en"])
    if not troubles:
        yield Finding("ok", "lately", "nothing was refused, no push is missing, and nothing is stuck")
