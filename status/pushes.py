"""Pushes by outcome, and their delay after the platform's answer. Pure."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from store.watch.statistics import DELAYS
from wechat.push.outcomes import Outcome

WHAT = ("matched", "early", "late", "repeated", "orphaned", "missing")
#: outcomes of requests that are none of the platform's
FORGED = (Outcome.BAD_SIGNATURE, Outcome.STALE_TIMESTAMP)


def push_counts(counted: Counter[str]) -> dict[str, int]:
    """Count pushes by outcome. A push with a wrong signature, or a timestamp of another time, is forged."""
    forged = sum(counted[f"request|{outcome}"] for outcome in FORGED)
    return {what: counted[f"push|{what}"] for what in WHAT} | {"forged": forged}


def delays(counted: Counter[str]) -> dict[str, Any]:
    """Return ``count``, ``p50``, ``p95``, ``p99`` and ``buckets`` of the push delay.

    The quantiles are in seconds, as if pushes lay evenly within a bucket. A bucket is its upper bound in seconds, None
    for the last one, and its number of pushes.
    """
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
            # nobody knows the delay of the pushes in the last bucket
            return lower if upper is None else round(lower + (upper - lower) * left / number, 3)
        left -= number
        lower = upper if upper is not None else lower
    return lower
