"""The order of the looks: a cause comes before its consequences.

With wrong settings, or without the store, nothing further is asked. The other looks do not depend on one another, and
run side by side.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING

from redis.exceptions import BusyLoadingError, RedisError

from config import refusals
from config.redis_url import place
from config.settings import Settings, SettingsError, load_settings
from ops.doctor.finding import Finding, words
from ops.doctor.side_by_side import failed, side_by_side
from store.connection import STORE_AWAY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ops.doctor.side_by_side import Look

#: seconds for all looks side by side; the look at the store has a bound of its own (:mod:`ops.doctor.redis`)
LONGEST = 12.0


def examine(push_url: str | None = None) -> Iterator[Finding]:
    """Yield all findings. ``push_url``: the URL of the default Mini Program, in place of ``PUSH_URL``."""
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
    """Return the looks that need the store, in the order of their findings."""
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
