"""Counts arrivals. Pure; every time is an integer number of nanoseconds, so that the edges of windows are exact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

SECOND = 1_000_000_000


@dataclass(frozen=True)
class Span:
    """From ``start`` up to, and without, ``end``."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


def most_in_any_window(times: Sequence[int], window: int) -> int:
    """The most arrivals in any half-open window ``[t, t + window)``, wherever it starts.

    Two arrivals that are exactly one ``window`` apart are never in the same one. ``times`` need not be sorted.
    """
    if window <= 0:
        raise ValueError(f"window: {window} ns is no length of time; give a positive number of nanoseconds")
    ordered = sorted(times)
    most = first = 0
    for last, time in enumerate(ordered):
        while time - ordered[first] >= window:
            first += 1
        most = max(most, last - first + 1)
    return most


def most_in_any_minute(times: Iterable[int], minute: int) -> int:
    """The most arrivals in any ``[k * minute, (k + 1) * minute)``: in a minute by the clock that ``times`` are of."""
    if minute <= 0:
        raise ValueError(f"minute: {minute} ns is no length of time; give a positive number of nanoseconds")
    return max(Counter(time // minute for time in times).values(), default=0)


def arrivals_within(times: Iterable[int], span: Span) -> int:
    """How many of ``times`` lie within ``span``."""
    return sum(span.start <= time < span.end for time in times)


def gaps(times: Iterable[int], span: Span) -> Iterator[Span]:
    """The times without arrivals within ``span``, from its start to its end, in order."""
    within = sorted(time for time in times if span.start <= time < span.end)
    for start, end in pairwise([span.start, *within, span.end]):
        if end > start:
            yield Span(start, end)


def longest_gap(times: Iterable[int], span: Span) -> int:
    """The longest time without an arrival within ``span``, in nanoseconds."""
    return max((gap.length for gap in gaps(times, span)), default=0)


def use_of_quota(times: Iterable[int], span: Span, quota: int, window: int, pause: int = 0) -> float:
    """The share of the quota that was used within ``span``: 1.0 is ``quota`` arrivals in each ``window``.

    ``pause`` (nanoseconds) is taken out of the time that counts: a pause that a fault forced is told by itself.
    """
    counted = span.length - pause
    if counted <= 0:
        raise ValueError(f"span: nothing is left of its {span.length} ns once a pause of {pause} ns is taken out")
    return arrivals_within(times, span) * window / (quota * counted)


def bound_of_use(window: float, mean_answer: float, bucket: float = 0.1) -> float:
    """The most that a closed pool of permits can use of a quota; all three in seconds.

    A permit is away from its send until a whole ``window`` after its answer, and is counted in buckets: on average it
    comes back after the window, the answer's time and half a bucket.
    """
    return window / (window + mean_answer + bucket / 2)
