"""What a run publishes at its end, kept until the store commits it together with the end itself.

Celery publishes what follows a task, and then a process may die: its message is delivered again, and what follows is
published again. Where store, broker and results are one Redis, what Celery publishes at the end of a check is kept
here, and goes to its queues in the same step that marks the check as ended (:mod:`worker.records`): both happen, or
neither. With another broker messages go out as they are published; there a crash right after it repeats them.
"""

from __future__ import annotations

import threading
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from redis.commands.core import Script

    Arguments = list[str | int | float]


#: before each script that runs beside the one that ends a check: it does nothing where that was refused, or said again
_IF_ENDED = """
local fresh, ended_by = unpack(redis.call('HMGET', KEYS[#KEYS], 'fresh', 'run'))
if not fresh or ended_by ~= ARGV[#ARGV] then
  return 0
end
"""


class Also(NamedTuple):
    """A script that is to run in the same step; it finds one key and one argument more at the end of its own."""

    script: Script
    keys: list[str]
    args: Arguments


class Run:
    """One run of a task that may end a check."""

    def __init__(self, task_id: str | None = None) -> None:
        self.task_id = task_id
        #: by it the store knows the run again
        self.token = uuid.uuid4().hex
        #: whose check it is, once that is known
        self.appid: str | None = None
        #: whether the check's record is this run's
        self.is_recorded = False
        #: whether the task's own part is over, so that what is published now follows from its end
        self.is_ending = False
        #: pairs of a list of the broker and a message for it
        self.messages: list[str] = []
        #: what else happens in the same step
        self.also: list[Also] = []
        #: whether another run has begun to publish the body of this check's chord, and may not have got to its end
        self.chord_is_claimed = False
        #: whether a step after the task's own part failed for a reason that passes: the end is tried again
        self.is_broken = False
        #: whether Celery has told that the check failed: its result, chord and errbacks
        self.is_failed = False
        #: whether its message is on the shelf, so that there is no end
        self.is_shelved = False
        #: whether Celery has told the task how it ended
        self.is_told = False
        #: whether its end is in the store
        self.is_committed = False


_local = threading.local()


@contextmanager
def run_begins(task_id: str | None = None) -> Iterator[Run]:
    """Makes a run of a task the one of this thread."""
    run = _local.run = Run(task_id)
    try:
        yield run
    finally:
        _local.run = None


def current_run() -> Run | None:
    """The run of this thread."""
    run: Run | None = getattr(_local, "run", None)
    return run


def ending_run() -> Run | None:
    """The run of this thread, if its task's own part is over."""
    run = current_run()
    return run if run is not None and run.is_ending else None


def commit(redis: Redis, run: Run, ending: Script, keys: list[str], args: Arguments, record: str) -> str:
    """Runs the script ``ending``, which takes the messages of ``run`` as its last arguments and says in ``record`` who
    has ended the check, with what else happens in the same step; what the script says."""
    every: Arguments = [*args, *run.messages]
    if not run.also:
        return str(ending(keys=keys, args=every))
    with redis.pipeline(transaction=True) as pipe:
        ending(keys=keys, args=every, client=pipe)
        for also in run.also:
            guarded = redis.register_script(_IF_ENDED + str(also.script.script))
            guarded(keys=[*also.keys, record], args=[*also.args, run.token], client=pipe)
        pipe.hdel(record, "fresh")
        said, *_ = pipe.execute()
    return str(said)
