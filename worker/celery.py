"""The Celery app: ``celery -A worker worker``, ``celery -A worker flower``."""

from __future__ import annotations

import sys
from typing import Any

from celery import Celery
from celery.signals import celeryd_init, worker_init

from config.celery import BROKER_CONNECTIONS, celery_configuration
from config.settings import Settings, SettingsError, load_settings
from store.redis_check import check_redis
from worker.celery_parts.consumer import CheckAMQP, Checks
from worker.celery_parts.entrance import stop_where_refused
from worker.celery_parts.event_pace import EventPace
from worker.celery_parts.flower_port import use_flower
from worker.celery_parts.follow_ups import note_follow_ups
from worker.celery_parts.logs import keep_quiet, use_lines
from worker.celery_parts.options import refuse
from worker.celery_parts.rate_command import use_rate_command
from worker.celery_parts.threads import use_threads
from worker.celery_parts.tracebacks import use_brief_tracebacks
from worker.celery_parts.transport import use_transport
from worker.ending.backend import use_backend
from worker.sweeper import Sweeper


def _settings() -> Settings:
    try:
        return load_settings()
    except SettingsError:
        # most processes with this app are workers: one message names all settings that a worker lacks
        load_settings("worker")
        raise


settings = _settings()
app = Celery("wxcheck", amqp=CheckAMQP)
app.config_from_object(celery_configuration(settings))

app.steps["worker"].add(Sweeper)
app.steps["consumer"].add(Checks)
app.steps["consumer"].add(EventPace)
keep_quiet()
use_lines(settings)
use_transport()
use_backend(app)
use_threads()
use_brief_tracebacks()
use_rate_command()
use_flower()


@celeryd_init.connect  # type: ignore[untyped-decorator]  # Celery ships no types
def check_options(conf: Any, options: dict[str, Any], **_: Any) -> None:
    """Stop a worker at once that cannot do what its options ask for, and bound its connections."""
    refuse(options, sys.argv, conf.worker_pool, conf.worker_concurrency)
    conf.broker_pool_limit = BROKER_CONNECTIONS


@worker_init.connect  # type: ignore[untyped-decorator]  # Celery ships no types
def check_settings(**_: Any) -> None:
    """Stop a worker at once that cannot work, with a message that names each lack."""
    check_redis(load_settings("worker"), "worker")
    stop_where_refused(app)
    note_follow_ups()
