"""Verdicts on their way: kept, delayed, delivered, tried again."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import requests

from config.logs import Log
from config.settings import MiniProgram
from sandbox.messages import Mode, sealed
from sandbox.options import Options

T = TypeVar("T")

log = Log(__name__)

#: most checks that can be listed and pushed again; the oldest is forgotten
KEPT_CHECKS = 10_000
#: most verdicts on their way; further media checks are answered -1, so that memory stays bounded
MAX_WAITING = 50_000
THREADS = 16


@dataclass(slots=True)
class Delivery:
    """A media check that was taken, with the fate of its push. The media URL is not kept."""

    trace_id: str
    appid: str
    kind: str
    version: int
    #: seconds since the epoch
    at: float
    message: dict[str, Any]
    pushes: int = 0
    #: HTTP status of the last push; None: no answer, or none sent yet
    status: int | None = None

    def report(self) -> dict[str, Any]:
        names = ("trace_id", "appid", "kind", "version", "at", "pushes", "status")
        return {name: getattr(self, name) for name in names}


class Pushes:
    """Delivers from threads, with one ``requests`` session each; everything else runs on the event loop.

    Args:
        programs: their push settings sign and encrypt; a Mini Program without a ``push_token`` gets no push
        urls: push URL of each appId
        options: returns the present options
        pushed: called with the HTTP status of each delivery; None: no answer
    """

    def __init__(
        self,
        programs: Mapping[str, MiniProgram],
        urls: Mapping[str, str],
        options: Callable[[], Options],
        pushed: Callable[[int | None], None],
    ) -> None:
        self._programs = programs
        self._urls = urls
        self._options = options
        self._pushed = pushed
        self._tasks: set[asyncio.Task[Any]] = set()
        self._kept: OrderedDict[str, Delivery] = OrderedDict()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="push")
        self._local = threading.local()

    @property
    def waiting(self) -> int:
        """Return the number of deliveries still to come, those of calls that are not answered yet among them."""
        return len(self._tasks)

    @property
    def full(self) -> bool:
        return len(self._tasks) >= MAX_WAITING

    def keep(self, delivery: Delivery) -> None:
        self._kept[delivery.trace_id] = delivery
        if len(self._kept) > KEPT_CHECKS:
            self._kept.popitem(last=False)

    def recent(self, limit: int) -> list[Delivery]:
        """Return the last media checks, the newest first."""
        return list(itertools.islice(reversed(self._kept.values()), limit))

    def find(self, trace_id: str) -> Delivery | None:
        return self._kept.get(trace_id)

    def later(self, delivery: Delivery, seconds: float, answered: asyncio.Event) -> None:
        """Deliver ``seconds`` after the call is ``answered``, with the attempts that the options allow."""
        self._start(self._attempts(delivery, seconds, self._options().push_attempts, answered))

    async def early(self, delivery: Delivery) -> None:
        """Deliver now, and return after the answer. A failed delivery is tried again later, like any other."""
        options = self._options()
        if await self._start(self.send(delivery)) != 200 and options.push_attempts > 1:
            self._start(self._attempts(delivery, options.push_retry_seconds, options.push_attempts - 1))

    async def send(self, delivery: Delivery) -> int | None:
        """Deliver once. Return the HTTP status; None: no answer."""
        program = self._programs[delivery.appid]
        if program.push_token is None:
            log.warning("no_push_url", "it has no push_token, and gets no pushes", appid=delivery.appid)
            return None
        loop = asyncio.get_running_loop()
        status = await loop.run_in_executor(self._pool, self._post, delivery.message, program, self._options())
        delivery.pushes += 1
        delivery.status = status
        self._pushed(status)
        return status

    def forget(self) -> None:
        """Drop every verdict, even those on their way."""
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        self._kept.clear()

    def close(self) -> None:
        self.forget()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _attempts(
        self, delivery: Delivery, delay: float, attempts: int, after: asyncio.Event | None = None
    ) -> None:
        if after is not None:
            await after.wait()
        await asyncio.sleep(delay)
        for left in reversed(range(attempts)):
            status = await self.send(delivery)
            if status == 200:
                return
            log.warning(
                "push_failed",
                f"it was answered {status or 'nothing'}; {left} more attempts",
                appid=delivery.appid,
                trace_id=delivery.trace_id,
            )
            if left:
                await asyncio.sleep(self._options().push_retry_seconds)

    def _post(self, message: dict[str, Any], program: MiniProgram, options: Options) -> int | None:
        query, body, content_type = sealed(message, program, mode_of(program, options), options.push_format)
        try:
            answer = self._session().post(
                f"{self._urls[program.appid]}?{query}",
                data=body,
                headers={"Content-Type": content_type},
                timeout=options.push_timeout_seconds,
                allow_redirects=False,
            )
        except requests.RequestException:
            return None
        return answer.status_code

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False  # a proxy of the environment does not lead to a receiver on this machine
            session.headers["User-Agent"] = "Mozilla/4.0"
        return session


def mode_of(program: MiniProgram, options: Options) -> Mode:
    """Return the mode of pushes to ``program``: ``auto`` is secure if the Mini Program has a key."""
    if options.push_mode != "auto":
        return options.push_mode
    return "plain" if program.push_aes_key is None else "secure"
