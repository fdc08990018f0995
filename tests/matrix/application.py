"""The application of the matrix: its Celery app, and the tasks around its checks, which write down each run.

``celery -A tests.matrix.application worker -Q matrix``; :mod:`tests.matrix.canvases` says what it needs.
"""

from __future__ import annotations

import json
import os
from typing import Any

import redis
from celery import Celery

QUEUE = "matrix"
#: list: each run (JSON)
RUNS = "matrix:runs"

_NOWHERE = "redis://127.0.0.1:1/0"

app = Celery(
    "matrix",
    broker=os.environ.get("MATRIX_BROKER_URL", _NOWHERE),
    backend=os.environ.get("MATRIX_RESULT_BACKEND", _NOWHERE),
)
app.conf.update(
    task_serializer="json",
    accept_content=["json"],
    task_default_queue=QUEUE,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
)
runs_store = redis.Redis.from_url(os.environ.get("MATRIX_RUNS_URL", _NOWHERE), decode_responses=True)


def brief(result: Any) -> str:
    """A verdict, the content of a check, or what one of these tasks returned, in a word."""
    if isinstance(result, dict):
        return str(result["suggest"])
    if isinstance(result, list):
        return " ".join(brief(each) for each in result)
    return "uploaded" if "sandbox" in result else str(result)


def _record(token: str, what: str, of: str | None = None) -> None:
    """Writes down a run; ``of``: the task whose failure it follows."""
    runs_store.rpush(RUNS, json.dumps({"token": token, "what": what, "of": of}))


@app.task(name="matrix.upload")
def upload(content: str, token: str) -> str:
    _record(token, "upload")
    return content


@app.task(name="matrix.publish")
def publish(verdict: Any, token: str) -> str:
    _record(token, f"publish {brief(verdict)}")
    return f"published {brief(verdict)}"


@app.task(name="matrix.album")
def album(results: Any, token: str) -> str:
    _record(token, f"album {brief(results)}")
    return f"album {brief(results)}"


@app.task(name="matrix.archive")
def archive(result: Any, token: str) -> str:
    _record(token, "archive")
    return "archived"


@app.task(name="matrix.hide")
def hide(task_id: str, token: str) -> None:
    """An errback of the old signature, which wxcheck's workers need not know."""
    _record(token, "hide", task_id)


@app.task(name="matrix.report")
def report(task_id: str, token: str) -> None:
    _record(token, "report", task_id)
