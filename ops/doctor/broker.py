"""The look at broker and result backend, if they are not the store's Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from config.names import PUSH_QUEUE
from config.redis_url import is_redis, place
from config.refusals import remedy as mend
from ops.doctor import redis
from ops.doctor.finding import Finding, words
from status.queues import BrokerAway, Queues

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from celery import Celery

    from config.settings import Settings


def examine(settings: Settings, celery_app: Celery, answers: Future[bool]) -> Iterator[Finding]:
    """Yield the findings. ``answers`` is set to True if the broker answers: other looks at the broker wait for that."""
    try:
        if settings.broker != settings.redis_url:
            yield from _broker(settings, celery_app, answers)
        else:
            answers.set_result(True)
    finally:
        if not answers.done():
            answers.set_result(False)
    if settings.backend not in (settings.redis_url, settings.broker):
        yield from _backend(settings.backend)


def _broker(settings: Settings, celery_app: Celery, answers: Future[bool]) -> Iterator[Finding]:
    remedy = "start it, or set WXCHECK_BROKER_URL to the one that runs: nothing is taken from its queues"
    if is_redis(settings.broker):
        try:
            found = list(redis.look("the broker", settings.broker, "WXCHECK_BROKER_URL"))
        except RedisError as error:
            yield Finding(
                "bad",
                "the broker",
                f"{words(error)} ({place(settings.broker)})",
                mend(error, "WXCHECK_BROKER_URL") or remedy,
            )
            return
        answers.set_result(True)
        yield from found
        return
    try:
        Queues(settings, celery_app).lengths([PUSH_QUEUE])
    except BrokerAway as away:
        yield Finding("bad", "the broker", str(away), away.remedy or remedy)
    else:
        answers.set_result(True)
        yield Finding("ok", "the broker", f"{place(settings.broker)} answers")


def _backend(url: str) -> Iterator[Finding]:
    subject = "the result backend"
    if not is_redis(url):
        yield Finding("skipped", subject, f"{place(url)} is not asked: only a Redis is")
        return
    try:
        yield from list(redis.look(subject, url, "WXCHECK_RESULT_BACKEND"))
    except RedisError as error:
        remedy = "start it, or set WXCHECK_RESULT_BACKEND to the one that runs: results and chords wait for it"
        said = f"{words(error)} ({place(url)})"
        yield Finding("bad", subject, said, mend(error, "WXCHECK_RESULT_BACKEND") or remedy)
