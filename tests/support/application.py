"""An application of the tests: its own Celery app, queue and tasks, which know nothing of wxcheck's workers.

Each run is written to a Redis list, so that a test can count them.
"""

from __future__ import annotations

import json
import os
from typing import Any

import redis
from celery import Celery, shared_task
from celery.signals import task_success

URL = os.environ.get("WXCHECK_REDIS_URL", "redis://127.0.0.1:1/0")
QUEUE = "application"
RUNS = "application:runs"

BROKER = os.environ.get("WXCHECK_BROKER_URL", URL)
RESULTS = os.environ.get("WXCHECK_RESULT_BACKEND", URL)

app = Celery("application", broker=BROKER, backend=RESULTS, set_as_current=False)
app.conf.update(
    task_serializer="json",
    accept_content=["json"],
    task_default_queue=QUEUE,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
)
# a Redis that stands still fails no task: the client gives up after five seconds, unless it is told otherwise
_store = redis.Redis.from_url(URL, decode_responses=True, socket_timeout=60)


def _record(task: Any, name: str, *arguments: Any) -> None:
    run = {
        "name": name,
        "arguments": arguments,
        "task_id": task.request.id,
        "parent_id": task.request.parent_id,
        "root_id": task.request.root_id,
        "headers": {key: value for key, value in (task.request.headers or {}).items() if isinstance(value, (str, int))},
        "stamps": task.request.stamps,
    }
    _store.rpush(RUNS, json.dumps(run))


@app.task(bind=True, name="application.publish")
def publish(self: Any, verdict: Any, item: Any = None) -> dict[str, Any]:
    """A follow-up: takes the verdict first."""
    _record(self, "publish", verdict, item)
    return {"item": item, "shown": verdict["suggest"] == "pass"}


@app.task(bind=True, name="application.hide")
def hide(self: Any, task_id: str, item: Any = None) -> None:
    """An errback of the old signature, which is all that another worker than the failing one can run."""
    _record(self, "hide", task_id, item)


@app.task(bind=True, name="application.album")
def album(self: Any, verdicts: list[Any], item: Any = None) -> list[str]:
    """The body of a chord."""
    _record(self, "album", verdicts, item)
    return [verdict["suggest"] for verdict in verdicts]


@app.task(bind=True, name="application.upload")
def upload(self: Any, url: str) -> str:
    """A step before a check, whose result the check takes as its first argument."""
    _record(self, "upload", url)
    return url


@shared_task(bind=False, name="application.explain")
def explain(request: Any, exc: Any, traceback: Any) -> None:
    """An errback of the new signature: it runs inside of the worker that failed the task, where that knows it."""
    _store.rpush(RUNS, json.dumps({"name": "explain", "task_id": request.id, "arguments": [type(exc).__name__]}))


@task_success.connect
def tell_headers(sender: Any, **_: Any) -> None:
    """Runs inside of the worker that finished a task."""
    tenant = (sender.request.headers or {}).get("x_tenant")
    if tenant:
        _store.rpush(RUNS, json.dumps({"name": "succeeded", "task_id": sender.request.id, "arguments": [tenant]}))


@shared_task(bind=True, name="application.replaced")
def replaced(self: Any, url: str) -> Any:
    """Is replaced by a check, as an application's task may be."""
    from wxcheck import check_media

    return self.replace(check_media(url))
