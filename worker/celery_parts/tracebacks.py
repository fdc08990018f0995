"""Outcomes without a traceback, for tasks that end without a result on purpose, or with a failure by its name.

For each exception Celery copies every frame's code with all positions in it, twice, and writes the traceback as text.
For a check that is parked or given back (``celery.exceptions.Ignore``), or fails by name, both would take a third of
its run.
"""

from __future__ import annotations

import sys
from typing import Any

import celery.app.trace
from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from celery.exceptions import Ignore

from wxcheck import CheckError


class Outcome(ExceptionInfo):  # type: ignore[misc]  # billiard ships no types
    """The outcome of a task that raised; only a fault keeps the place where it was raised."""

    def __init__(self, exc_info: Any = None, internal: bool = False) -> None:
        kind, error, trace = exc_info or sys.exc_info()
        if not isinstance(error, (Ignore, CheckError)):
            super().__init__((kind, error, trace), internal)
            return
        self.type, self.tb, self.traceback, self.internal = kind, None, "", internal
        self.exception = ExceptionWithTraceback(error, "")


def use_brief_tracebacks() -> None:
    """Make the tasks of this process use :class:`Outcome`."""
    celery.app.trace.ExceptionInfo = Outcome
