"""The inbox of a worker, by its broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.redis_url import is_redis
from worker.intake.broker_inbox import BrokerInbox
from worker.intake.intake import Intake
from worker.intake.redis_inbox import RedisInbox

if TYPE_CHECKING:
    from celery import Celery

    from config.settings import Settings
    from store.places.places import Places
    from store.watch.statistics import Statistics
    from worker.intake.inbox import Inbox


def inbox_of(app: Celery, settings: Settings, places: Places, statistics: Statistics) -> Inbox:
    """Return the inbox, which files what comes in ``places``."""
    in_one_step = settings.broker == settings.redis_url
    intake = Intake(places, settings, statistics, in_one_step=in_one_step)
    return RedisInbox(settings.broker, intake) if is_redis(settings.broker) else BrokerInbox(app, intake)
