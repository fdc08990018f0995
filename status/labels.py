"""The values that labels of Prometheus may have: whatever the store holds, there is an end to them. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from wxcheck import (
    CheckCancelled,
    CheckRefused,
    InvalidCheck,
    MediaUnavailable,
    PlatformUnavailable,
    PushTimeout,
    StaleCheck,
)

#: stands for every value that is not known here
OTHER = "other"

WINDOWS = ("minute", "day")
#: of a lane; ``closed``: the platform says that the second's or the minute's quota is used up, ``spent``: the day's is,
#: ``paused``: Redis is new, ``stopped``: the platform refuses the appId
STATES = ("open", "slowed", "closed", "stopped", "paused", "spent")
#: of calls; ``given_back``: a check was given back, for there was no permit
RESULTS = ("sent", "given_back", "refused", "retried")
KINDS = ("text", "image", "audio")
SUGGESTS = ("pass", "review", "risky")
#: of verdicts; what each means: :class:`wxcheck.Verdict`
LABELS = ("100", "10001", "20001", "20002", "20003", "20006", "20008", "20012", "20013", "21000")
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
#: errcodes that are shown apart at most; the smallest are
MAX_ERRCODES = 64
PUSH_RESULTS = ("matched", "early", "repeated", "late", "orphaned", "missing")
PROCESS_KINDS = ("worker", "endpoint", "board")
#: further ones are an appId's own: ``wxcheck.text.<appid>``
LEVELS = ("bad", "warn")
#: troubles that are told apart at most
MAX_TROUBLES = 64
#: buckets of the push delay at most
MAX_BUCKETS = 40


def known(value: Any, values: Iterable[str]) -> str:
    """``value`` where it is one of ``values``, else ``other``."""
    return value if value in values else OTHER


def number(value: Any) -> float | None:
    """``value`` where it is a finite number; None (of null, mostly) is left out of the metrics."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def bound(value: Any) -> float | None:
    """An upper bound in seconds: null is infinite; None where ``value`` is no bound."""
    try:
        seconds = math.inf if value is None else float(value)
    except (TypeError, ValueError):
        return None
    return seconds if seconds >= 0 else None
