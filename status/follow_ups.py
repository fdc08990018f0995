"""Follow-ups of checks that wait in a queue which nobody consumes.

RabbitMQ tells the number of a queue's consumers; Redis does not. On Redis all workers that the broker reaches, an
application's too, are asked for their queues. A queue that no worker names counts if its first message stays the first.
"""

from __future__ import annotations

import hashlib
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from config.celery import CONNECT_TIMEOUT
from status.queues import BrokerAway
from store import keys
from store.watch.follow_ups import queues_of_follow_ups

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Celery
    from redis import Redis

    from status.queues import Head, Queues

#: seconds in which workers tell their queues, and seconds for which the answers hold
ASK_SECONDS, ASKED = 1.0, 30.0
#: seconds after which an unconsumed queue is certain: a worker may be too busy to answer
CERTAIN = 60.0
#: seconds after which a note on a queue no longer counts
SEEN = 600.0


class Unconsumed(NamedTuple):
    """A queue with follow-ups that nobody takes."""

    queue: str
    messages: int
    #: false: no worker has named the queue so far, but only for a short time
    certain: bool


class FollowUpQueues:
    """Finds queues of follow-ups that nobody consumes. Not safe to share between threads.

    ``waits``: a look waits for the workers' answers; else the answers serve the next look.
    """

    def __init__(self, redis: Redis, queues: Queues, celery_app: Celery, *, waits: bool = True) -> None:
        self._redis = redis
        self._queues = queues
        self._app = celery_app
        self._waits = waits
        #: the queues that the workers named, or the reason for reaching none; None: no worker was asked yet
        self._consumed: frozenset[str] | BrokerAway | None = None
        self._asked_at = 0.0
        self._asking: threading.Thread | None = None

    def unconsumed(self) -> list[Unconsumed]:
        """Return the queues with follow-ups that nobody takes.

        Raises:
            BrokerAway: the broker does not answer.
            one of STORE_AWAY: the store does not answer.
        """
        names = queues_of_follow_ups(self._redis)
        heads = {name: head for name, head in self._queues.heads(names).items() if head.messages} if names else {}
        told = [Unconsumed(name, head.messages, True) for name, head in heads.items() if head.consumers == 0]
        unsure = {name: head for name, head in heads.items() if head.consumers is None}
        if not unsure:
            self._redis.delete(keys.FOLLOW_UPS_SEEN)
            return told
        consumed = self._ask() if self._is_to_be_asked(unsure) else self._consumed
        if consumed is None:
            return told
        if isinstance(consumed, BrokerAway):
            raise consumed
        unsure = {name: head for name, head in unsure.items() if name not in consumed}
        if self._waits and unsure:
            # somebody may have taken the first message meanwhile
            now = self._queues.heads(unsure)
            unsure = {name: now[name] for name, head in unsure.items() if now[name].first == head.first}
        return told + list(self._standing(unsure))

    def _is_to_be_asked(self, unsure: dict[str, Head]) -> bool:
        if isinstance(self._consumed, frozenset) and unsure.keys() <= self._consumed:
            return False
        return self._consumed is None or time.monotonic() - self._asked_at >= ASKED

    def _ask(self) -> frozenset[str] | BrokerAway | None:
        """Ask the workers for their queues in the background, and return the latest answers."""
        if self._asking is None or not self._asking.is_alive():
            self._asked_at = time.monotonic()
            self._asking = threading.Thread(target=self._take_answers, name="follow-ups", daemon=True)
            self._asking.start()
        if self._waits:
            self._asking.join()
        return self._consumed

    def _take_answers(self) -> None:
        try:
            # a connection of its own: the process may also publish on the app's connections
            with self._app.connection_for_write(connect_timeout=CONNECT_TIMEOUT) as connection:
                connection.ensure_connection(max_retries=0)
                inspect = self._app.control.inspect(timeout=ASK_SECONDS, connection=connection)
                answers = inspect.active_queues() or {}
            self._consumed = frozenset(queue["name"] for queues in answers.values() for queue in queues)
        except Exception as error:  # noqa: BLE001 - each broker has errors of its own; who looks is told
            self._consumed = BrokerAway(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")

    def _standing(self, heads: dict[str, Head]) -> Iterator[Unconsumed]:
        """Note for each queue the time since which its first message is the first."""
        seen = cast("dict[str, str]", self._redis.hgetall(keys.FOLLOW_UPS_SEEN))
        now, notes = time.time(), {}
        for name, head in heads.items():
            first = hashlib.sha256(head.first.encode()).hexdigest()[:16]
            since, at, was = (*seen.get(name, "").split("@"), "", "", "")[:3]
            stays = was == first and now - float(at) <= SEEN
            notes[name] = f"{since if stays else now}@{now}@{first}"
            yield Unconsumed(name, head.messages, certain=stays and now - float(since) >= CERTAIN)
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(keys.FOLLOW_UPS_SEEN)
            if notes:
                pipe.hset(keys.FOLLOW_UPS_SEEN, mapping=cast("dict[Any, Any]", notes))
            pipe.execute()


def follow_up_troubles(numbers: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a trouble for each queue of follow-ups that nobody consumes. Pure."""
    for found in numbers["follow_ups"]:
        queue, count = found["queue"], found["messages"]
        yield {
            "key": "follow_ups_unconsumed",
            "level": "bad" if found["certain"] else "warn",
            "said": {
                "en": f"Follow-ups of checks wait in {queue}, which "
                + ("no worker consumes" if found["certain"] else "no worker says that it consumes")
                + f": {count}.",
                "zh": f"{count} 个检测的后续任务在 {queue} 中等待，"
                + ("没有 worker 消费它。" if found["certain"] else "没有 worker 表示在消费它。"),
            },
            "remedy": {
                "en": f"Start the application's worker on it: celery -A APPLICATION worker -Q {queue}. Or name its "
                "queue in the signature, .set(queue=…): what names none goes to celery.",
                "zh": f"请让应用的 worker 消费它：celery -A APPLICATION worker -Q {queue}。或在签名里用 "
                ".set(queue=…) 指定队列：未指定的进入 celery。",
            },
        }
