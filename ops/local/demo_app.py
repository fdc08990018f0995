"""The application of the demo: a Celery app of its own, with the tasks that follow on a check.

    celery -A ops.local.demo_app worker -Q demo

It shares the broker and the result backend with wxcheck's workers, and nothing else. Each run of a task is recorded
in the store, under :func:`runs_key`, so that the demo can show that each follow-up ran exactly once.
"""

from __future__ import annotations

import json
import time
from functools import cache
from typing import Any

import redis
from celery import Celery, Task

from config.settings import load_settings
from wxcheck import Verdict

QUEUE = "demo"

PUBLISH_PHOTO = "demo.publish_photo"
PUBLISH_POST = "demo.publish_post"
PUBLISH_ALBUM = "demo.publish_album"
HIDE_PHOTO = "demo.hide_photo"

#: seconds that a record of a run is kept
_KEPT = 3600


def _configuration() -> dict[str, Any]:
    settings = load_settings()
    return {
        "broker_url": settings.broker,
        "result_backend": settings.backend,
        "task_default_queue": QUEUE,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "broker_connection_retry_on_startup": True,
    }


app = Celery("demo", set_as_current=False)
app.add_defaults(_configuration)  # read at the first use, and not for an import of the names above


def runs_key(subject: str) -> str:
    """Return the key of the runs for ``subject``, a list of ``{"task", "outcome", "at"}`` (JSON, in seconds)."""
    return f"demo:runs:{subject}"


@app.task(name=PUBLISH_PHOTO)
def publish_photo(verdict: Verdict, photo_id: str) -> dict[str, Any]:
    """Show a photo that passed. A photo to be reviewed waits for a human being."""
    return _record(PUBLISH_PHOTO, photo_id, {"shown": verdict["suggest"] == "pass"})


@app.task(name=PUBLISH_POST)
def publish_post(verdict: Verdict, post_id: str) -> dict[str, Any]:
    """Show a post whose text passed."""
    return _record(PUBLISH_POST, post_id, {"shown": verdict["suggest"] == "pass"})


@app.task(name=PUBLISH_ALBUM)
def publish_album(verdicts: list[Verdict], album_id: str) -> dict[str, Any]:
    """Show an album's photos that passed. Return a list with true or false for each, in the album's order."""
    return _record(PUBLISH_ALBUM, album_id, {"shown": [verdict["suggest"] == "pass" for verdict in verdicts]})


@app.task(name=HIDE_PHOTO, bind=True)
def hide_photo(self: Task[Any, Any], task_id: str, photo_id: str) -> dict[str, Any]:
    """The errback: a photo that could not be checked is not shown. ``task_id`` is that of the check that failed."""
    failure = self.AsyncResult(task_id).result
    return _record(HIDE_PHOTO, photo_id, {"shown": False, "failure": type(failure).__name__})


def _record(task: str, subject: str, outcome: dict[str, Any]) -> dict[str, Any]:
    run = json.dumps({"task": task, "outcome": outcome, "at": time.time()})
    with _store().pipeline() as pipe:
        pipe.rpush(runs_key(subject), run)
        pipe.expire(runs_key(subject), _KEPT)
        pipe.execute()
    return outcome


@cache
def _store() -> redis.Redis:
    return redis.Redis.from_url(load_settings().redis_url, socket_timeout=5, socket_connect_timeout=5)
