"""What went wrong lately, as the processes have counted it: a fault that shows only when pushes and answers come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from board.numbers import Numbers
from doctor.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.runtime import Runtime

#: troubles of the board that are not looked at otherwise
_TOLD = ("push_", "pushes_", "appid_refused", "platform_away", "lane_", "backlog_long")


def examine(runtime: Runtime) -> Iterator[Finding]:
    from worker.app import app

    troubles = [
        trouble for trouble in Numbers(runtime.settings, app).read()["troubles"] if trouble["key"].startswith(_TOLD)
    ]
    for trouble in troubles:
        yield Finding(trouble["level"], "lately", trouble["said"]["en"], trouble["remedy"]["en"])
    if not troubles:
        yield Finding("ok", "lately", "nothing was refused, and no push is missing")
