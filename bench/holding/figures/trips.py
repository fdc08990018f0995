"""``trips``: the round trips to Redis of a check under load, by the script that each runs.

``MONITOR`` counts what the worker's and the endpoint's connections send while a backlog is worked off; what they send
when nothing is to do is taken out, by its rate. Takes, fetches, and the filing are shared by the checks of a batch.
Last, the tasks that Celery has run for a picture: its check, and the telling of its end; none for the push.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from socket import gethostname
from typing import TYPE_CHECKING

from celery import Celery

from bench.overhead import slowlog
from bench.overhead.figures.trips import Watch
from bench.overhead.outcome import Measured, Row, Target
from bench.overhead.side import PUSH_AFTER, Side
from wxcheck import CHECK_MEDIA

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.holding.scale import Scale
    from bench.overhead.side import Options

#: seconds for which the processes are watched while nothing is to do
IDLE = 10.0
#: most round trips of a check: those of its own, and its shares of the others
TEXT = Target("at most", 2, of_value=True)
MEDIA = Target("at most", 5, of_value=True)


def run(scale: Scale, options: Options) -> Measured:
    """Texts, then media chains."""
    with Side("wxcheck", options, endpoint=True, application=True) as side:
        side.run_texts(scale.trips)
        side.run_chains(side.media, scale.trips, push=True)
        names = slowlog.names()
        with Watch(side, of=[*side.workers, "endpoint"]) as watch:
            time.sleep(IDLE)
            idle = {name: number / IDLE for name, number in watch.fresh().items()}

            def counted(step: Callable[[], object]) -> dict[str, float]:
                watch.fresh()
                began = time.monotonic()
                step()
                seconds = time.monotonic() - began
                each: dict[str, float] = defaultdict(float)
                for name, number in watch.fresh().items():
                    each[names.get(name, name)] += max(0.0, number - idle.get(name, 0.0) * seconds) / scale.trips
                return dict(each)

            texts = counted(lambda: side.run_texts(scale.trips))
            before = _tasks(side)
            media = counted(lambda: side.run_chains(side.media, scale.trips, push=True))
            after = _tasks(side)
    others = sum(after.values()) - sum(before.values()) - (after[CHECK_MEDIA] - before[CHECK_MEDIA])
    rows = [
        Row("trips", "round trips of a text check under load", "", [sum(texts.values())], target=TEXT),
        Row("trips", "round trips of a picture with its push under load", "", [sum(media.values())], target=MEDIA),
        Row("trips", "tasks run for a picture", "", [(after[CHECK_MEDIA] - before[CHECK_MEDIA]) / scale.trips]),
        Row("trips", "tasks run for a push", "", [others / scale.trips], target=Target("at most", 0, of_value=True)),
    ]
    return Measured(rows, {"text": texts, "media": media, "pushed after": PUSH_AFTER})


def _tasks(side: Side) -> Counter[str]:
    """The tasks that the worker has run, by name."""
    with Celery("bench-client", broker=side.url, backend=side.url, set_as_current=False) as app:
        stats = app.control.inspect([f"{side.workers[0]}@{gethostname()}"], timeout=5.0, limit=1).stats() or {}
    total: Counter[str] = Counter()
    for one in stats.values():
        total.update(one["total"])
    return total
