"""The look for lists at a Redis broker that are nearly a queue of ours: no worker reads them, so checks wait there."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, NamedTuple, cast

from config.lanes import QUEUES
from config.redis_url import is_redis
from ops.doctor import redis
from ops.doctor.finding import Finding
from store.connection import connect
from worker.fetching.broker_lists import lists_of
from wxcheck import MEDIA_QUEUE, TEXT_QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from config.settings import Settings

#: keys of one step, and most seconds for all keys
BATCH, LONGEST = 1000, 4.0
#: most lists to tell
MOST = 10

#: an appId's own queue, even if the appId is no longer in the settings
_OWN = re.compile(rf"(?:{re.escape(TEXT_QUEUE)}|{re.escape(MEDIA_QUEUE)})\.wx\w+")


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
            queue = meant(name, settings.programs)
            if queue is not None:
                unread.append(Unread(name, queue, cast("int", client.llen(name))))
            if time.monotonic() > deadline:
                said = f"not all keys of the broker were looked at within {LONGEST:.0f} s"
                yield Finding("skipped", "lists", said)
                break
    yield from told(unread)


def meant(name: str, appids: Iterable[str]) -> str | None:
    """Return the queue that a list is nearly named after; None for a list that is read, or has another name. Pure."""
    queue = next((queue for queue in QUEUES if queue in name), None)
    if queue is None:
        return None
    own = _OWN.match(name)
    ours = {queue, *(f"{queue}.{appid}" for appid in appids), own[0] if own else queue}
    return None if any(name in lists_of(one) for one in ours) else queue


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
