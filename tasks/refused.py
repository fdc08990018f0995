"""Messages that no check can be made of: unreadable ones, and Celery's ``map``, ``starmap`` and ``chunks``.

Celery's three run a task many times in one, without an id for each run. Nobody could tell which of these runs has sent
a call, nor which run waits for which push.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from config.names import MAPS, REFUSE
from tasks.check import CheckTask
from worker.celery import app
from wxcheck import InvalidCheck

if TYPE_CHECKING:
    from worker.run import Run


@app.task(base=CheckTask, name=REFUSE, bind=True)
def refuse(self: CheckTask, _run: Run, said: str, queue: str, why: str) -> NoReturn:
    """Fail a message that cannot be run (:mod:`worker.intake.reading`), under its own id, and count it."""
    self.runtime.statistics.unreadable(queue, why)
    raise InvalidCheck(said)


def refuse_map(self: CheckTask, *_: Any, **__: Any) -> NoReturn:
    """Fail a message of ``map``, ``starmap`` or ``chunks``, in place of Celery's own task."""
    what = self.name.partition(".")[2]
    raise InvalidCheck(
        f"{what}: each check needs an id of its own, which a {what} gives none; send a group of them: "
        "group(check_text(text) for text in texts)"
    )


for _name in MAPS:
    app.tasks.unregister(_name)
    app.task(base=CheckTask, name=_name, bind=True, shared=False)(refuse_map)
