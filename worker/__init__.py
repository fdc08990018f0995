"""The Celery app, and the machinery that the tasks run on."""

from worker.app import app

__all__ = ["app"]
