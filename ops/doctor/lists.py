"""The look for lists at a Redis broker that are nearly a queue of ours: no worker reads them, so checks wait there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple, cast

from config.broker_lists import lists_of
from config.lanes import QUEUES
from config.redis_url import is_redis
from ops.doctor import redis
from ops.doctor.finding import Finding
from store.connection import connect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from config.settings import Settings

#: keys of one step, and most seconds for all keys
BATCH, LONGEST = 1000, 4.0
#: most lists to tell
MOST = 10


class Unread(NamedTuple):
    """A list that nobody reads, its intended queue, and the number of its messages."""

    name: str
    queue: str
    messages: int


def examine(settings: Settings, broker_answers: Future[bool]) -> Iterator[Finding]:
    if not is_redis(settings.broker) or not broker_answers.result():
        return
    deadline = time.monotonic() + LONGEST
    unread: list[Unread] = []
    with connect(settings.broker, redis.PATIENCE, retries=1) as client:
        for name in client.scan_iter(match="*wxcheck.*", count=BATCH, _type="LIST"):
            queue = meant(name)
            if queue is not None:
                unread.append(Unread(name, queue, cast("int", client.llen(name))))
            if time.monotonic() > deadline:
                said = f"not all keys of the broker were looked at within {LONGEST:.0f} s"
                yield Finding("skipped", "lists", said)
                break
    yield from told(unread)


def meant(name: str) -> str | None:
    """Return the queue that a list is nearly named after; None for a list that is read, or has another name. Pure."""
    queue = next((queue for queue in QUEUES if queue in name), None)
    return None if queue is None or name in lists_of(queue) else queue


def told(unread: Iterable[Unread]) -> Iterator[Finding]:
    """Yield the findings about such lists. Pure."""
    for name, queue, messages in sorted(unread)[:MOST]:
        # ascii: the separator within a name may be an invisible character
        yield Finding(
            "bad",
            queue,
            f"{messages:,} messages wait in the list {name!a}, which nobody reads",
            "the application that sends them sets sep or global_keyprefix in its broker_transport_options: leave them "
            "out, and send what waits there again",
        )
