"""Keeps a backlog in front of the workers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from celery import Celery
from kombu.exceptions import OperationalError

from bench.quota.scale import Scale
from config.lanes import Lane

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.quota.contenders import Feed

#: windows of the quota that a backlog holds more than a run should need: a limiter may admit twice the quota at first
_SPARE = 2


def backlog(quota: int, seconds: float, scale: Scale) -> int:
    """Messages for a run of ``seconds`` at the full ``quota``, with some to spare."""
    return math.ceil(quota * (seconds / scale.window + _SPARE))


def publisher(broker: str) -> Celery:
    """An app that publishes to ``broker``, and gives up soon."""
    app = Celery("bench-feeder", broker=broker, set_as_current=False)
    app.conf.update(task_ignore_result=True, broker_connection_timeout=3)
    return app


def publish(app: Celery, feed: Feed, checks: Iterable[dict[str, str]]) -> None:
    """Publishes a task of ``feed`` with the arguments of each of ``checks``, in one go.

    Raises:
        OperationalError: the broker is away.
    """
    with app.producer_or_acquire() as producer, producer.batch():
        for kwargs in checks:
            app.send_task(
                feed.task,
                kwargs=kwargs,
                queue=feed.queue,
                producer=producer,
                ignore_result=True,
                argsrepr="(…)",
                kwargsrepr="{…}",
                retry=False,  # with it, kombu would publish one by one
            )


class Feeder:
    """Publishes the tasks of a run, without results, for all contenders alike."""

    def __init__(self, broker: str, feeds: tuple[Feed, ...], scale: Scale, seconds: float) -> None:
        self._feeds = feeds
        self._scale = scale
        self._seconds = seconds
        #: messages in the queue or taken from it, as far as is known, before those that have arrived
        self._published: dict[Lane, int] = {}
        self._app = publisher(broker)

    def fill(self) -> None:
        """Publishes the whole backlog."""
        for feed in self._feeds:
            self._publish(feed, backlog(self._scale.quota(feed.lane), self._seconds, self._scale))

    def refill(self, arrived: dict[Lane, int], seconds: float) -> None:
        """Publishes a backlog for the ``seconds`` that are left, after the broker has lost the first one.

        Raises:
            OperationalError: the broker is not back.
        """
        for feed in self._feeds:
            self._published[feed.lane] = arrived[feed.lane]
            self._publish(feed, backlog(self._scale.quota(feed.lane), seconds, self._scale))

    def top_up(self, arrived: dict[Lane, int]) -> None:
        """Adds to a lane that has less than a window's quota left: its contender sends more than it should.

        While the broker is away nothing is added; the next time does it.
        """
        for feed in self._feeds:
            quota = self._scale.quota(feed.lane)
            if self._published[feed.lane] - arrived[feed.lane] < quota:
                try:
                    self._publish(feed, quota)
                except OperationalError:
                    return

    def close(self) -> None:
        self._app.close()

    def _publish(self, feed: Feed, number: int) -> None:
        publish(self._app, feed, [feed.kwargs] * number)
        self._published[feed.lane] = self._published.get(feed.lane, 0) + number
