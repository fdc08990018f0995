"""The peers, each used as its documentation says: a call that returns when the caller may send.

Each is asked again until it admits. None of them reserves: who is refused is told when to come back, if at all.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

#: waits until the caller may send
Acquire = Callable[[], object]

#: what each library counts for: one appId's texts
KEY = "bench"

#: seconds; the shortest sleep between two tries of those who are told "now" and refused again
SHORTEST_SLEEP = 0.01


@dataclass(frozen=True)
class Quota:
    """``calls`` in ``seconds``; ``store`` is the URL of the Redis that the limiter counts in."""

    calls: int
    seconds: int
    store: str


def none(_: Quota) -> Acquire:
    """No limiter in the task: Celery's own ``rate_limit`` is what is measured."""
    return lambda: None


def limits_moving_window(quota: Quota) -> Acquire:
    """``limits``, exact log of admissions: https://limits.readthedocs.io/en/stable/strategies.html#moving-window."""
    from limits.strategies import MovingWindowRateLimiter

    return _limits(MovingWindowRateLimiter, quota)


def limits_sliding_counter(quota: Quota) -> Acquire:
    """``limits``, two weighted counters: …/strategies.html#sliding-window-counter."""
    from limits.strategies import SlidingWindowCounterRateLimiter

    return _limits(SlidingWindowCounterRateLimiter, quota)


def _limits(strategy: type, quota: Quota) -> Acquire:
    from limits import RateLimitItemPerSecond
    from limits.storage import RedisStorage

    limiter = strategy(RedisStorage(quota.store))
    item = RateLimitItemPerSecond(quota.calls, quota.seconds)

    def acquire() -> None:
        # hit(), and where that is refused sleep until get_window_stats().reset_time, as its quick start does
        while not limiter.hit(item, KEY):
            until_reset = limiter.get_window_stats(item, KEY).reset_time - time.time()
            time.sleep(max(SHORTEST_SLEEP, until_reset))

    return acquire


def pyrate_limiter(quota: Quota) -> Acquire:
    """``pyrate-limiter``, a log in a sorted set: https://pyratelimiter.readthedocs.io (RedisBucket, blocking)."""
    from pyrate_limiter import Limiter, Rate, RedisBucket
    from redis import Redis

    bucket = RedisBucket.init([Rate(quota.calls, quota.seconds * 1000)], Redis.from_url(quota.store), KEY)
    assert isinstance(bucket, RedisBucket)  # noqa: S101 - with a client that does not await it is one at once
    limiter = Limiter(bucket)

    def acquire() -> None:
        # blocking is the default: it sleeps and tries again until it is admitted
        while not limiter.try_acquire(KEY):
            time.sleep(SHORTEST_SLEEP * random.uniform(1, 2))  # noqa: S311 - spreads the threads, protects nothing

    return acquire


def throttled_gcra(quota: Quota) -> Acquire:
    """``throttled-py``, GCRA: https://throttled-py.readthedocs.io (RedisStore, wait and retry).

    Its ``burst`` is the quota where none is given, as in its examples ("100/s burst 100").
    """
    from throttled import RateLimiterType, Throttled, rate_limiter, store

    throttle = Throttled(
        key=KEY,
        using=RateLimiterType.GCRA.value,
        quota=rate_limiter.per_duration(timedelta(seconds=quota.seconds), quota.calls),
        store=store.RedisStore(server=quota.store),
        timeout=quota.seconds,
    )

    def acquire() -> None:
        while throttle.limit().limited:
            pass  # it has waited already, for as long as its time-out says

    return acquire


#: by the names of the contenders
LIMITERS: dict[str, Callable[[Quota], Acquire]] = {
    "celery-1": none,
    "celery-4": none,
    "limits-moving": limits_moving_window,
    "limits-sliding": limits_sliding_counter,
    "pyrate-limiter": pyrate_limiter,
    "throttled-py": throttled_gcra,
}
