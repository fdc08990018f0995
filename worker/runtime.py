"""The runtime: the objects that the tasks of one process share, made from the settings at the first use."""

from __future__ import annotations

import atexit
import os
import threading
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from config.celery import SOCKET_TIMEOUT
from config.logs import Log
from config.names import FINISH, PUSH_QUEUE
from config.redis_url import is_redis
from config.settings import Settings, load_settings
from store.connection import connect, connect_store
from store.dead_letters.dead_letters import DeadLetters
from store.lanes import Crowds
from store.parked.parked import Kept, Parked, Parking
from store.quota.permits import Quota
from store.quota.rates import Rates
from store.records.records import Records
from store.shelf.shelf import Shelf
from store.tokens.tokens import Tokens
from store.watch.counters import Counters
from store.watch.follow_ups import FollowUps
from store.watch.reporter import Reporter
from store.watch.statistics import Statistics
from wechat.http import Http
from wechat.token_calls import TokenCalls
from worker.call import Calls
from worker.credential import Credential
from worker.messages import arguments_of_finish, decode_kept, publish

if TYPE_CHECKING:
    from celery import Celery
    from redis import Redis

    from config.lanes import Lane


log = Log(__name__)

#: seconds between two readings of Redis' clock; well below the GAP of store.quota.clock, which ends the trust in it
CLOCK_INTERVAL = 1.0


@dataclass(frozen=True)
class Runtime:
    """One object of each kind for a process. All are safe to share between threads."""

    settings: Settings
    store: Redis
    counters: Counters
    statistics: Statistics
    quota: Quota
    rates: Rates
    crowds: Crowds
    shelf: Shelf
    records: Records
    parking: Parking
    dead_letters: DeadLetters
    calls: Calls
    reporter: Reporter
    follow_ups: FollowUps

    def redises(self) -> list[tuple[str, Redis]]:
        """Return role and client of each Redis that holds checks or results: store, broker, result backend."""
        settings = self.settings
        found = [("the store", connect_store(settings, SOCKET_TIMEOUT))]
        urls = {settings.redis_url}
        for role, url in (("the broker", settings.broker), ("the result backend", settings.backend)):
            if url not in urls and is_redis(url):
                urls.add(url)
                found.append((role, connect(url, SOCKET_TIMEOUT, retries=1)))
        return found


@cache
def runtime() -> Runtime:
    """Return the runtime of this process. A forked child makes its own."""
    settings = load_settings()
    redis = connect_store(settings, SOCKET_TIMEOUT)
    rates = Rates(redis)
    quota = Quota(
        connect_store(settings, SOCKET_TIMEOUT, retries=0),
        rates,
        settings.api_timeout,
        lambda appid, lane: calls.used_today(appid, lane),
    )
    http = Http(settings.api_base, settings.api_timeout)

    def look(appid: str, lane: Lane) -> None:
        snooze = quota.look(settings.programs[appid], lane)
        if snooze is not None and snooze.why == "closed":
            raise snooze

    threading.Thread(target=_keep_time, args=(quota,), name="clock", daemon=True).start()
    statistics = Statistics(connect_store(settings, SOCKET_TIMEOUT, retries=0))
    follow_ups = FollowUps(redis)
    reporter = Reporter(statistics, beat=follow_ups.write, leave=follow_ups.write)
    reporter.start()
    # covers threads and solo pools; a child process skips exit handlers, and worker.celery stops its reporter
    atexit.register(reporter.stop)
    tokens = Tokens(redis, TokenCalls(http, settings), look, settings.api_timeout)
    calls = Calls(http, Credential(settings, tokens), quota, settings, statistics)
    return Runtime(
        settings=settings,
        store=redis,
        counters=Counters(redis),
        statistics=statistics,
        quota=quota,
        rates=rates,
        crowds=Crowds(redis),
        shelf=Shelf(redis),
        records=Records(redis, settings.visibility_timeout),
        parking=Parking(redis, settings.push_timeout, lease=settings.visibility_timeout, statistics=statistics),
        dead_letters=DeadLetters(redis, settings.dead_letter_days, with_content=settings.dead_letter_content),
        calls=calls,
        reporter=reporter,
        follow_ups=follow_ups,
    )


def _keep_time(quota: Quota) -> None:
    """Read Redis' clock once a second: time counts as passed only if this process saw the clock go evenly."""
    away = False
    while True:
        began = time.monotonic()
        try:
            quota.keep_time()
            away = False
        except Exception as error:  # noqa: BLE001 - where the thread ends no time passes for quiet lanes
            if not away:
                log.warning("clock_not_read", f"{type(error).__name__}: {error}; trying on")
            away = True
        time.sleep(max(0.0, began + CLOCK_INTERVAL - time.monotonic()))


# a lock that is taken at the fork would stay taken in the child for ever
os.register_at_fork(after_in_child=runtime.cache_clear)


def publish_finish(app: Celery, parked: Parked) -> None:
    """Publish the finish of a check under the check's own task id, unless the store has published the finish.

    Raises:
        OperationalError: the broker does not take the finish; the sweeper publishes it again when its lease is over.
    """
    if parked.rest:
        decoded = decode_kept(Kept(parked.rest))
        check = arguments_of_finish(parked.appid, parked.trace_id, decoded.kind)
        publish(app, FINISH, PUSH_QUEUE, decoded.rest, kwargs=check)
