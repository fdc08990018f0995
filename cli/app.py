"""The Celery app and the task results, for commands that send something."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from celery import Celery


def celery_app() -> Celery:
    """The app of the workers, as the one that signatures are sent with."""
    from worker.app import app

    app.set_default()
    return app
