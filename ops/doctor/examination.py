"""The order in which things are looked at. What explains what follows comes before it: with settings that are wrong,
or without the store, nothing further is asked. The rest does not lean on one another, and is looked at side by side.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING

from redis.exceptions import BusyLoadingError, RedisError

from config import refusals
from config.places import place
from config.settings import Settings, SettingsError, load_settings
from ops.doctor.finding import Finding, words
from ops.doctor.side_by_side import failed, side_by_side
from store.connection import STORE_AWAY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ops.doctor.side_by_side import Look

#: seconds for all that is looked at side by side; the store, before, has a bound of its own (:mod:`ops.doctor.redis`)
LONGEST = 12.0


def examine(push_url: str | None = None) -> Iterator[Finding]:
    """Looks at one thing after the other. ``push_url``: of the default Mini Program, in place of ``PUSH_URL``."""
    from ops.doctor.settings import doubts, faults

    try:
        settings = load_settings("worker")
    except SettingsError as error:
        yield from faults(str(error))
        return
    yield from doubts(settings)
    from ops.doctor import redis

    try:
        yield from redis.examine(settings)
    except STORE_AWAY as error:
        yield _store_away(settings, error)
        return
    except RedisError as error:
        yield failed("the store", error)
        return
    yield from side_by_side(_looks(push_url), LONGEST)


def _looks(push_url: str | None) -> Sequence[Look]:
    """What is looked at where there is a store; the order in which it is told."""
    from ops.doctor import broker, clock, lately, lists, platform, push, queues
    from worker.celery import app  # here, where no other thread imports it
    from worker.runtime import runtime

    system = runtime()
    answers: Future[bool] = Future()
    return (
        ("the broker", lambda: broker.examine(system.settings, app, answers)),
        ("clocks", lambda: clock.examine(system)),
        ("queues", lambda: queues.examine(system, app, answers)),
        ("lists", lambda: lists.examine(system.settings, answers)),
        ("the platform", lambda: platform.examine(system)),
        ("the push URL", lambda: push.examine(system, push_url)),
        ("lately", lambda: lately.examine(system, app, answers)),
    )


def _store_away(settings: Settings, error: RedisError) -> Finding:
    remedy = refusals.remedy(error, "WXCHECK_REDIS_URL") or "start Redis, or set WXCHECK_REDIS_URL to the one that runs"
    if isinstance(error, BusyLoadingError):
        remedy = "it has been started and reads its data (WXCHECK_REDIS_URL is right): wait"
    said = f"{words(error)} ({place(settings.redis_url)})"
    return Finding("bad", "the store", said, f"{remedy}; nothing further was looked at")
