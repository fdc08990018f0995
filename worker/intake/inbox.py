"""The inbox of a worker, by its broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from config.redis_url import is_redis
from worker.intake.broker_inbox import BrokerInbox
from worker.intake.intake import Intake
from worker.intake.redis_inbox import RedisInbox

if TYPE_CHECKING:
    from celery import Celery

    from config.settings import Settings
    from store.places.places import Places
    from store.watch.statistics import Statistics


class Inbox(Protocol):
    """The queues that a worker reads."""

    def start(self) -> None:
        """Begin to read."""

    def stop(self, seconds: float) -> None:
        """Stop reading. What was taken is filed, or goes back, within ``seconds``."""

    def queues(self) -> list[str]:
        """Return the queues that are read."""

    def read(self, queue: str) -> None:
        """Read a queue, too."""

    def leave(self, queue: str) -> None:
        """Read a queue no more."""


def inbox_of(app: Celery, settings: Settings, places: Places, statistics: Statistics) -> Inbox:
    """Return the inbox, which files what comes in ``places``."""
    in_one_step = settings.broker == settings.redis_url
    intake = Intake(places, settings, statistics, in_one_step=in_one_step)
    return RedisInbox(settings.broker, intake) if is_redis(settings.broker) else BrokerInbox(app, intake)
