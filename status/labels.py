"""The values of Prometheus labels: a bounded number, whatever the store holds. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from wechat import verdicts
from wxcheck import (
    CheckCancelled,
    CheckRefused,
    InvalidCheck,
    MediaUnavailable,
    PlatformUnavailable,
    PushTimeout,
    StaleCheck,
)

#: stands for every value that is not listed here
OTHER = "other"

WINDOWS = ("minute", "day")
#: states of a lane; ``closed``: the platform says that the second's or the minute's quota is used up, ``spent``: the
#: day's is, ``paused``: Redis is new, ``stopped``: the platform refuses the appId
STATES = ("open", "slowed", "closed", "stopped", "paused", "spent")
#: results of calls; ``given_back``: a check waits again, for its call has found a quota used up
RESULTS = ("sent", "given_back", "refused", "retried")
#: places of a check, in the order of its life (:mod:`store.places.places`); its inbox is the broker's
PLACES = ("inbox", "lanes", "shelf", "in_hand", "parked", "ready", "outbox")
KINDS = ("text", "image", "audio")
SUGGESTS = ("pass", "review", "risky")
#: labels of verdicts
LABELS = tuple(str(label) for label in verdicts.LABELS)
FAILURES = tuple(
    failure.__name__
    for failure in (
        InvalidCheck,
        StaleCheck,
        CheckRefused,
        PlatformUnavailable,
        MediaUnavailable,
        PushTimeout,
        CheckCancelled,
    )
)
#: errcodes whose series exist from the start, beside none and ``other``
FIRST_ERRCODES = {PlatformUnavailable.__name__: ("-1",), MediaUnavailable.__name__: ("-1", "-1008")}
#: most errcodes with a series of their own: the smallest
MAX_ERRCODES = 64
PUSH_RESULTS = ("matched", "early", "repeated", "late", "orphaned", "missing")
PROCESS_KINDS = ("worker", "endpoint", "board")
#: levels of a trouble
LEVELS = ("bad", "warn")
#: most troubles with a series of their own
MAX_TROUBLES = 64
#: most buckets of the push delay
MAX_BUCKETS = 40


def known(value: Any, values: Iterable[str]) -> str:
    """Return ``value`` if it is one of ``values``, else ``other``."""
    return value if value in values else OTHER


def number(value: Any) -> float | None:
    """Return ``value`` if it is a finite number. The metrics leave out None, mostly from a null."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def bound(value: Any) -> float | None:
    """Return an upper bound in seconds: infinite for null, None if ``value`` is no bound."""
    try:
        seconds = math.inf if value is None else float(value)
    except (TypeError, ValueError):
        return None
    return seconds if seconds >= 0 else None
