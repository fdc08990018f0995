"""Questions to the servers behind the endpoint, bounded in time and in number."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from celery import Celery

from callbacks.broker import BrokerLink, describe
from config.settings import Settings
from store.connection import connect

#: seconds that an answer may take
PROBE_SECONDS = 2

Answer = TypeVar("Answer")


class Unanswered(Exception):
    """A server did not answer, or not in time."""


class Probe(Generic[Answer]):
    """A blocking call that runs once at a time for all who ask: a flood of requests reaches no server.

    ``end`` closes what the call uses, after the last call.
    """

    def __init__(self, name: str, call: Callable[[], Answer], end: Callable[[], None] | None = None) -> None:
        self.name = name
        self._call = call
        self._end = end
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"probe-{name}")
        self._running: Future[Answer] | None = None

    async def ask(self) -> Answer:
        """Return the result of the call.

        Raises:
            Unanswered: the call failed, or took longer than ``PROBE_SECONDS``.
        """
        if self._running is None or self._running.done():
            self._running = self._executor.submit(self._call)
        answer = asyncio.wrap_future(self._running)
        done, _ = await asyncio.wait([answer], timeout=PROBE_SECONDS)  # leaves it running for others who ask meanwhile
        if not done:
            answer.add_done_callback(_acknowledge)
            raise Unanswered(f"no answer within {PROBE_SECONDS} s")
        error = answer.exception()
        if error is not None:
            raise Unanswered(describe(error)) from None
        return answer.result()

    def close(self) -> None:
        if self._end is not None:
            self._executor.submit(self._end)
        self._executor.shutdown(wait=False)


def broker_probe(app: Celery) -> Probe[None]:
    """Return a probe that asks the broker for a new channel."""
    link = BrokerLink(app)

    def ping() -> None:
        try:
            link.ping()
        except Exception:
            link.failed()
            raise

    return Probe("broker", ping, link.close)


def store_probe(settings: Settings) -> Probe[None]:
    """Return a probe that pings the store."""
    client = connect(settings.redis_url, PROBE_SECONDS, retries=0)

    def ping() -> None:
        client.ping()

    return Probe("store", ping, client.close)


def _acknowledge(answer: asyncio.Future[Answer]) -> None:
    """Take a late answer's exception, which asyncio would otherwise report as lost."""
    if not answer.cancelled():
        answer.exception()
