"""Publishing: pushes go on the queue, or fail within three seconds.

A push that comes while no other is under way goes at once. Pushes that come meanwhile go together in the next batch, so
that many pushes share the cost of a batch: a round trip and the way between two threads.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue

from celery import Celery

from callbacks.broker import describe
from callbacks.template import arguments
from callbacks.writers import Fate, Push, Writer, writers_for
from config.logs import Log
from config.refusals import remedy
from wechat.push.messages import Message
from wechat.push.outcomes import BrokerUnavailable

#: the platform waits for five seconds; the rest is for the body's way here
PUBLISH_SECONDS = 3
#: bytes of the arguments of a batch: a proxy before Redis may take no more than 1 MiB at once
MAX_BATCH_BYTES = 256 << 10
#: bytes of the arguments of all waiting pushes: the bound on memory while the broker hangs
MAX_WAITING_BYTES = 64 << 20

log = Log(__name__)


class Publisher:
    """Publishes from threads, each with a connection of its own: one for a Redis, else a few."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        #: the pushes for the threads; None ends a thread
        self._pushes: SimpleQueue[Push | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        #: used in the loop only: bytes of unanswered pushes; (deadline, answer) of each, the earliest first; the next
        #: look
        self._waiting_bytes = 0
        self._due: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def warm_up(self) -> None:
        """Import and connect in the background, for which the first publish would take 0.4 s. Never fails."""
        self._start()

    async def publish(self, appid: str, push: Message) -> None:
        """Put ``push``, made by :func:`wechat.push.messages.normalised_push`, on the queue for ``appid``.

        Raises:
            BrokerUnavailable: no confirmation came within ``PUBLISH_SECONDS``. The push may be on the queue all the
                same.
        """
        kwargs = arguments(appid, push, time.time())
        if self._waiting_bytes + len(kwargs) > MAX_WAITING_BYTES:
            raise BrokerUnavailable("too many pushes wait for the broker")
        if not self._threads:
            self._start()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[None] = loop.create_future()
        self._waiting_bytes += len(kwargs)
        self._due.append((loop.time() + PUBLISH_SECONDS, answer))
        if self._timer is None:
            self._timer = loop.call_later(PUBLISH_SECONDS, self._give_up, loop)
        self._pushes.put(Push(kwargs, answer))
        try:
            await answer
        finally:
            self._waiting_bytes -= len(kwargs)

    async def close(self) -> None:
        """Publish the pushes in hand and stop, without waiting long for a broker that hangs."""
        if self._timer is not None:
            self._timer.cancel()
        threads, self._threads = self._threads, []
        for _ in threads:
            self._pushes.put(None)
        for thread in threads:
            await asyncio.to_thread(thread.join, PUBLISH_SECONDS / len(threads))

    def _start(self) -> None:
        for number, writer in enumerate(writers_for(self._app)):
            # a daemon, since the process must end even if a broker hangs
            thread = threading.Thread(
                target=self._run, args=(writer, not number), name=f"publish-{number}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _give_up(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        while self._due and (self._due[0][0] <= now or self._due[0][1].done()):
            answer = self._due.popleft()[1]
            if not answer.done():
                answer.set_exception(BrokerUnavailable(f"the broker did not take the push within {PUBLISH_SECONDS} s"))
        self._timer = loop.call_at(self._due[0][0], self._give_up, loop) if self._due else None

    def _answer(self, pushes: list[Push], fates: list[Fate]) -> None:
        """Resolve the answers of ``pushes``. Runs in the loop."""
        for push, fate in zip(pushes, fates, strict=True):
            if push.answer.done():
                continue
            if fate is None:
                push.answer.set_result(None)
            else:
                push.answer.set_exception(BrokerUnavailable(describe(fate)))
        while self._due and self._due[0][1].done():
            self._due.popleft()

    def _run(self, writer: Writer, warms_up: bool) -> None:
        if warms_up:
            try:
                writer.warm_up()
            except Exception as error:  # noqa: BLE001 - the endpoint starts without its broker, and says so
                mend = remedy(error, "WXCHECK_BROKER_URL")
                said = f"pushes are answered 503 until it answers: {describe(error)}"
                log.warning("broker_away", f"{said}; {mend}" if mend else said)
        for batch in self._batches(writer.at_once):
            # some callers no longer wait, and the platform sends their pushes again
            pushes = [push for push in batch if not push.answer.done()]
            if pushes:
                fates = writer.write(pushes)
                with suppress(RuntimeError):  # the loop is closed, and nobody waits
                    pushes[0].answer.get_loop().call_soon_threadsafe(self._answer, pushes, fates)
        writer.close()

    def _batches(self, at_once: int) -> Iterator[list[Push]]:
        """Yield the waiting pushes in batches, as they come, until the end."""
        left_over: deque[Push | None] = deque()
        while (push := left_over.popleft() if left_over else self._pushes.get()) is not None:
            batch, size = [push], len(push.kwargs)
            while len(batch) < at_once and not left_over:
                try:
                    push = self._pushes.get_nowait()
                except Empty:
                    break
                if push is None or size + len(push.kwargs) > MAX_BATCH_BYTES:
                    left_over.append(push)
                else:
                    batch.append(push)
                    size += len(push.kwargs)
            yield batch
