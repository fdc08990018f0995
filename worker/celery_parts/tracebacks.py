"""No traceback for a task that ends without a result on purpose.

For each exception Celery copies every frame's code with all positions in it, twice, and writes the traceback as text.
Of a check that is parked or goes back to its queue (``celery.exceptions.Ignore``) that is a third of its run, for
nobody.
"""

from __future__ import annotations

import sys
from typing import Any

import celery.app.trace
from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from celery.exceptions import Ignore


class Outcome(ExceptionInfo):  # type: ignore[misc]  # billiard ships no types
    """How a task ended that returned nothing; where it was raised is told of faults only."""

    def __init__(self, exc_info: Any = None, internal: bool = False) -> None:
        kind, error, trace = exc_info or sys.exc_info()
        if not isinstance(error, Ignore):
            super().__init__((kind, error, trace), internal)
            return
        self.type, self.tb, self.traceback, self.internal = kind, None, "", internal
        self.exception = ExceptionWithTraceback(error, "")


def use_brief_tracebacks() -> None:
    """Makes the tasks of this process use it."""
    celery.app.trace.ExceptionInfo = Outcome
