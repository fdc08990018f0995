"""What became of the pushes, and how long after the platform's answer they came. Pure."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from store.watch.statistics import DELAYS
from wechat.push.outcomes import Outcome

WHAT = ("matched", "early", "late", "repeated", "orphaned", "missing")
#: requests that are none of the platform's
FORGED = (Outcome.BAD_SIGNATURE, Outcome.STALE_TIMESTAMP)


def push_counts(counted: Counter[str]) -> dict[str, int]:
    """How many pushes were what; those whose signature is wrong, or of another time, are forged."""
    forged = sum(counted[f"request|{outcome}"] for outcome in FORGED)
    return {what: counted[f"push|{what}"] for what in WHAT} | {"forged": forged}


def delays(counted: Counter[str]) -> dict[str, Any]:
    """``count``, ``p50``, ``p95``, ``p99`` (seconds, within a bucket as if evenly spread) and ``buckets``: the upper
    bound of each in seconds, None for the last one, and how many pushes are in it."""
    buckets: list[tuple[float | None, int]] = [(bound, counted[f"delay|{bound}"]) for bound in DELAYS]
    buckets.append((None, counted["delay|+Inf"]))
    count = sum(number for _, number in buckets)
    quantiles = {f"p{percent}": _quantile(buckets, count, percent / 100) for percent in (50, 95, 99)}
    return {"count": count, **quantiles, "buckets": [list(bucket) for bucket in buckets]}


def _quantile(buckets: list[tuple[float | None, int]], count: int, share: float) -> float | None:
    if not count:
        return None
    left = math.ceil(count * share)
    lower = 0.0
    for upper, number in buckets:
        if left <= number and number:
            # nobody knows how long the last ones took
            return lower if upper is None else round(lower + (upper - lower) * left / number, 3)
        left -= number
        lower = upper if upper is not None else lower
    return lower
