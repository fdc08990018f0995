"""Puts a push on the queue, or says within three seconds that it can't."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from celery import Celery
from kombu import Producer

from callbacks.broker import BrokerLink, describe
from callbacks.messages import Message
from callbacks.outcomes import BrokerUnavailable
from config.logs import Log
from config.names import PUSH_QUEUE, RECEIVE_PUSH

#: the platform waits for five; what is left is for the body's way here
PUBLISH_SECONDS = 3
#: a publish is half a millisecond, most of it computing, so that more threads would not publish more
THREADS = 4
#: seconds after which a failed publish is not tried again: the answer is due
_RETRY_WITHIN = 0.5

log = Log(__name__)


class Publisher:
    """Publishes from a few threads, each with a connection of its own."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="publish")
        self._local = threading.local()

    def warm_up(self) -> None:
        """Import and connect in the background what the first publish would take 0.4 s for. Never fails."""
        self._executor.submit(self._warm_up)

    async def publish(self, appid: str, push: Message) -> None:
        """Put ``push`` (as :func:`callbacks.messages.media_verdict` makes it) of ``appid`` on the queue.

        Raises:
            BrokerUnavailable: it is not known to be there within ``PUBLISH_SECONDS``. It may be, still.
        """
        kwargs = {"appid": appid, "push": push, "received_at": time.time()}
        future = self._executor.submit(self._publish, kwargs)
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                await asyncio.wrap_future(future)  # the time-out cancels it, if no thread has begun with it
        except TimeoutError:
            raise BrokerUnavailable(f"the broker did not take the push within {PUBLISH_SECONDS} s") from None

    def close(self) -> None:
        """Stop, without waiting for a broker that hangs. The connections close with their threads."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _publish(self, kwargs: Message) -> None:
        began = time.monotonic()
        link = self._link()
        again = link.is_open  # the broker may have been started anew since; a second try tells
        while True:
            try:
                return self._send(link.producer(), kwargs)
            except Exception as error:  # noqa: BLE001 - each transport has its own; all mean "not known to be queued"
                link.failed()
                if not again or time.monotonic() - began > _RETRY_WITHIN:
                    raise BrokerUnavailable(describe(error)) from None
                again = False

    def _send(self, producer: Producer, kwargs: Message) -> None:
        # By the queue's name Celery publishes to the anonymous exchange: a broker that was emptied needs no binding
        self._app.send_task(
            RECEIVE_PUSH,
            kwargs=kwargs,
            queue=PUSH_QUEUE,
            producer=producer,
            retry=False,
            ignore_result=True,
            argsrepr="(…)",
            kwargsrepr="{…}",
        )

    def _link(self) -> BrokerLink:
        if not hasattr(self._local, "link"):
            self._local.link = BrokerLink(self._app)
        link: BrokerLink = self._local.link
        return link

    def _warm_up(self) -> None:
        try:
            self._link().producer()
            self._app.amqp.send_task_message  # noqa: B018 - built when it is first asked for, as the backend is
            self._app.backend  # noqa: B018
        except Exception as error:  # noqa: BLE001 - the endpoint starts without its broker, and says so
            self._link().failed()
            log.warning("broker_away", f"pushes are answered 503 until it answers: {describe(error)}")
