"""Puts pushes on the queue, or says within three seconds that it can't.

A push that comes while none is under way goes at once. Those that come meanwhile go together in the next batch: what a
batch costs, a round trip and the way between two threads, many pushes share where there are many.
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

#: the platform waits for five; what is left is for the body's way here
PUBLISH_SECONDS = 3
#: bytes of the arguments of one batch: a proxy before Redis may take no more than 1 MiB at once
MAX_BATCH_BYTES = 256 << 10
#: bytes of the arguments of pushes that wait: while the broker hangs, no more than that is kept
MAX_WAITING_BYTES = 64 << 20

log = Log(__name__)


class Publisher:
    """Publishes from threads, each with a connection of its own: one for a Redis, else a few."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        #: what the threads take; None ends one of them
        self._pushes: SimpleQueue[Push | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        #: in the loop: bytes that were not answered yet; when each is to be answered, the earliest first; who looks
        self._waiting_bytes = 0
        self._due: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def warm_up(self) -> None:
        """Import and connect in the background what the first publish would take 0.4 s for. Never fails."""
        self._start()

    async def publish(self, appid: str, push: Message) -> None:
        """Put ``push`` (as :func:`wechat.push.messages.media_verdict` makes it) of ``appid`` on the queue.

        Raises:
            BrokerUnavailable: it is not known to be there within ``PUBLISH_SECONDS``. It may be, still.
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
        """Publish what is in hand and stop, without waiting long for a broker that hangs."""
        if self._timer is not None:
            self._timer.cancel()
        threads, self._threads = self._threads, []
        for _ in threads:
            self._pushes.put(None)
        for thread in threads:
            await asyncio.to_thread(thread.join, PUBLISH_SECONDS / len(threads))

    def _start(self) -> None:
        for number, writer in enumerate(writers_for(self._app)):
            # a daemon, for the process must end where a broker hangs
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
        """Tells those who wait, in their loop."""
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
            # nobody waits any more for some, and the platform sends these again
            pushes = [push for push in batch if not push.answer.done()]
            if pushes:
                fates = writer.write(pushes)
                with suppress(RuntimeError):  # the loop is closed, and nobody waits
                    pushes[0].answer.get_loop().call_soon_threadsafe(self._answer, pushes, fates)

    def _batches(self, at_once: int) -> Iterator[list[Push]]:
        """What waits, as it comes, until the end."""
        held: deque[Push | None] = deque()
        while (push := held.popleft() if held else self._pushes.get()) is not None:
            batch, size = [push], len(push.kwargs)
            while len(batch) < at_once and not held:
                try:
                    push = self._pushes.get_nowait()
                except Empty:
                    break
                if push is None or size + len(push.kwargs) > MAX_BATCH_BYTES:
                    held.append(push)
                else:
                    batch.append(push)
                    size += len(push.kwargs)
            yield batch
