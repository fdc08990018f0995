"""The Celery app: ``celery -A worker worker``, ``celery -A worker flower``."""

from __future__ import annotations

import sys
from typing import Any

from celery import Celery
from celery.signals import celeryd_init, worker_init, worker_process_shutdown

from config.celery import celery_configuration
from config.redis_check import check_redis
from config.settings import Settings, SettingsError, load_settings
from worker.backend import use_backend
from worker.consumer import Flows, LaneAMQP
from worker.entrance import stop_where_refused
from worker.event_pace import EventPace
from worker.flower_port import use_flower
from worker.follow_ups import note_follow_ups
from worker.logs import keep_quiet, use_lines
from worker.options import refuse
from worker.prefork import use_prefork
from worker.rate_command import use_rate_command
from worker.reading import count_no_message
from worker.runtime import runtime
from worker.sweeper import Sweeper
from worker.threads import use_threads
from worker.tracebacks import use_brief_tracebacks
from worker.transport import use_transport


def _settings() -> Settings:
    try:
        return load_settings()
    except SettingsError:
        # most of what starts with this app is a worker: name what it lacks in the same message
        load_settings("worker")
        raise


settings = _settings()
app = Celery("wxcheck", amqp=LaneAMQP)
app.config_from_object(celery_configuration(settings))

app.steps["worker"].add(Sweeper)
app.steps["consumer"].add(Flows)
app.steps["consumer"].add(EventPace)
keep_quiet()
use_lines(settings)
use_transport(on_no_message=count_no_message)
use_backend(app)
use_threads()
use_prefork()
use_brief_tracebacks()
use_rate_command()
use_flower()


@celeryd_init.connect  # type: ignore[untyped-decorator]  # Celery ships no types
def check_options(conf: Any, options: dict[str, Any], **_: Any) -> None:
    """A worker that cannot do what its options ask for stops at once."""
    refuse(options, sys.argv, conf.worker_pool, conf.worker_concurrency)


@worker_init.connect  # type: ignore[untyped-decorator]  # Celery ships no types
def check_settings(**_: Any) -> None:
    """A worker that cannot work stops at once, and says all that it lacks."""
    check_redis(load_settings("worker"), "worker")
    stop_where_refused(app)
    note_follow_ups()


@worker_process_shutdown.connect  # type: ignore[untyped-decorator]  # Celery ships no types
def write_statistics(**_: Any) -> None:
    """A child of a worker ends without Python's own end."""
    runtime().reporter.stop()
