"""``celery -A bench.overhead.application worker``: an application of bare Celery, whose task follows a check's verdict.

The same for both sides. It notes each follow-up as it starts in the file that ``BENCH_NOTES`` names.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from celery import Celery

from bench.overhead.bare import configuration
from bench.overhead.names import FOLLOW_UP, NOTES, number_of
from bench.overhead.notes import Notebook

app = Celery("bench-application")
app.config_from_object(configuration())


@app.task(name=FOLLOW_UP)  # type: ignore[untyped-decorator]  # Celery ships no types
def follow_up(verdict: dict[str, Any]) -> dict[str, Any]:
    """Follows a verdict."""
    _notebook().note(number_of(verdict["trace_id"]))
    return {"shown": verdict["suggest"] == "pass"}


@cache
def _notebook() -> Notebook:
    return Notebook(os.environ[NOTES])
