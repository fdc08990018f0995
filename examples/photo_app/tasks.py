"""The application's Celery app, and the tasks that follow on a check. Its own worker runs them, from its own queue."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

from examples.photo_app import posts
from wxcheck import Verdict

#: the broker and the result backend that wxcheck's workers use too
REDIS_URL = os.environ.get("PHOTO_APP_REDIS_URL", "redis://127.0.0.1:6379/0")

#: the application's own queue. A follow-up has to name it, for it is wxcheck's worker that publishes it then, and that
#: knows nothing of this application: what names no queue goes to Celery's default one, "celery"
QUEUE = "photo_app"

celery = Celery("photo_app", broker=REDIS_URL, backend=REDIS_URL)
# A signature of the client's belongs to no app, and goes out through the current one. That is one thread's own; without
# a default, the threads that a web server runs views in would take an app without a broker.
celery.set_default()
celery.conf.update(
    task_default_queue=QUEUE,
    task_acks_late=True,
    broker_connection_retry_on_startup=True,
    # a view must answer, also where Redis does not
    broker_transport_options={"socket_timeout": 5, "socket_connect_timeout": 3},
    redis_socket_timeout=5,
    redis_socket_connect_timeout=3,
    task_publish_retry_policy={"max_retries": 1},
    result_backend_transport_options={"retry_policy": {"max_retries": 1}},
)

#: what enqueuing raises where Redis is away: the broker's error, and the result backend's
AWAY = (OperationalError, RuntimeError)


@celery.task
def publish_photo(verdict: Verdict, photo_id: str) -> None:
    """Shows a photo that passed. "review" is left hidden here; show it to a moderator."""
    _decide(verdict, photo_id)


@celery.task(bind=True)
def hide_photo(self: Any, task_id: str, photo_id: str) -> None:
    """The errback: there is no verdict, and that is no pass. ``task_id`` is that of the check that failed."""
    posts.decide(photo_id, "hidden", type(self.AsyncResult(task_id).result).__name__)


@celery.task
def publish_comment(verdict: Verdict, comment_id: str) -> None:
    """Shows a comment that passed."""
    _decide(verdict, comment_id)


@celery.task(bind=True)
def hide_comment(self: Any, task_id: str, comment_id: str) -> None:
    """The errback of a comment's check."""
    posts.decide(comment_id, "hidden", type(self.AsyncResult(task_id).result).__name__)


def _decide(verdict: Verdict, post_id: str) -> None:
    posts.decide(post_id, "published" if verdict["suggest"] == "pass" else "hidden", verdict["suggest"])
