"""The runtime: the objects that the tasks of one process share, made from the settings at the first use."""

from __future__ import annotations

import atexit
import threading
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from config.celery import SOCKET_TIMEOUT
from config.logs import Log
from config.names import UNACKED, UNACKED_INDEX
from config.settings import Settings, load_settings
from store.connection import connect
from store.dead_letters.dead_letters import DeadLetters
from store.places.closings import Closings
from store.places.open_lanes import OpenLanes
from store.places.places import Places
from store.places.shard import SHARD, Shard
from store.quota.clock import Watch
from store.quota.permits import START
from store.quota.rates import Rates
from store.tokens.tokens import Tokens
from store.watch.follow_ups import FollowUps
from store.watch.reporter import Reporter
from store.watch.statistics import Statistics
from wechat.http import Http
from wechat.token_calls import TokenCalls
from worker.call import Calls
from worker.credential import Credential

if TYPE_CHECKING:
    from redis import Redis


log = Log(__name__)

#: seconds between two readings of Redis' clock; well below the GAP of store.quota.clock, which ends the trust in it
CLOCK_INTERVAL = 1.0


@dataclass(frozen=True)
class Runtime:
    """One object of each kind for a process. All are safe to share between threads."""

    settings: Settings
    store: Redis
    shard: Shard
    statistics: Statistics
    rates: Rates
    places: Places
    lanes: OpenLanes
    closings: Closings
    dead_letters: DeadLetters
    calls: Calls
    follow_ups: FollowUps


@cache
def runtime() -> Runtime:
    """Return the runtime of this process."""
    settings = load_settings()
    redis = connect(settings.redis_url, SOCKET_TIMEOUT)
    rates = Rates(redis)
    http = Http(settings.api_base, settings.api_timeout)
    closings = Closings(redis, SHARD)
    statistics = Statistics(connect(settings.redis_url, SOCKET_TIMEOUT, retries=0))
    follow_ups = FollowUps(redis)
    reporter = Reporter(statistics, beat=follow_ups.write, leave=follow_ups.write)
    reporter.start()
    atexit.register(reporter.stop)
    tokens = Tokens(redis, SHARD, TokenCalls(http, settings).fetch, closings.raise_refusal, settings.api_timeout)
    credential = Credential(settings, tokens)
    places = Places(
        # it must not repeat a script by itself, since a permit must never be taken twice
        connect(settings.redis_url, SOCKET_TIMEOUT, retries=0),
        SHARD,
        Watch(),
        settings.api_timeout,
        credential.token_lease,
        (UNACKED, UNACKED_INDEX) if settings.broker == settings.redis_url else None,
    )
    threading.Thread(target=_keep_time, args=(places,), name="clock", daemon=True).start()
    return Runtime(
        settings=settings,
        store=redis,
        shard=SHARD,
        statistics=statistics,
        rates=rates,
        places=places,
        lanes=OpenLanes(places, settings.programs, rates, settings.api_timeout + START),
        closings=closings,
        dead_letters=DeadLetters(redis, settings.dead_letter_days, with_content=settings.dead_letter_content),
        calls=Calls(http, credential, statistics),
        follow_ups=follow_ups,
    )


def _keep_time(places: Places) -> None:
    """Read Redis' clock once a second: time counts as passed only if this process saw the clock go evenly."""
    away = False
    while True:
        began = time.monotonic()
        try:
            places.keep_time()
            away = False
        except Exception as error:  # noqa: BLE001 - where the thread ends no time passes for quiet lanes
            if not away:
                log.warning("clock_not_read", f"{type(error).__name__}: {error}; trying on")
            away = True
        time.sleep(max(0.0, began + CLOCK_INTERVAL - time.monotonic()))
