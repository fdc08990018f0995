"""Lifetime totals, ``name|label|…`` -> count, as counters of Prometheus. Pure.

A series with known labels exists from the start, at 0: otherwise Prometheus would not see its first increase.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.utils import floatToGoString

from config.lanes import LANES, QUEUES
from config.names import UNREADABLE
from status.labels import (
    FAILURES,
    FIRST_ERRCODES,
    KINDS,
    LABELS,
    MAX_BUCKETS,
    MAX_ERRCODES,
    OTHER,
    PUSH_RESULTS,
    RESULTS,
    SUGGESTS,
    bound,
    known,
)
from wechat.push.outcomes import Outcome

_Counts = Iterable[tuple[tuple[str, ...], int]]


class Totals:
    """The totals by name; unknown names and labels are left out."""

    def __init__(self, totals: Mapping[str, int]) -> None:
        self._split = [(field.split("|"), count) for field, count in totals.items()]

    def calls(self, appids: Sequence[str]) -> Metric:
        return _counter(
            "wxcheck_calls",
            "Calls to the platform by what became of them; given_back: checks whose call found a quota used up",
            {"appid": appids, "lane": LANES, "result": RESULTS},
            self._named("calls", 3),
        )

    def push_results(self) -> Metric:
        said = "Pushes by what became of them; early, missing: checks whose push came first, or not in time"
        return _counter("wxcheck_push_results", said, {"result": PUSH_RESULTS}, self._named("push", 1))

    def push_requests(self) -> Metric:
        said = "Requests to the push URLs of all endpoints, by what became of them"
        return _counter("wxcheck_push_requests", said, {"outcome": tuple(Outcome)}, self._named("request", 1))

    def unreadable(self) -> Metric:
        return _counter(
            "wxcheck_unreadable_messages",
            "Messages in the queues that could not be run, by why",
            {"queue": (*QUEUES, OTHER), "reason": UNREADABLE},
            self._named("unreadable", 2),
        )

    def verdicts(self) -> Metric:
        counts = (
            ((kind, suggest, known(label, LABELS)), count)
            for (kind, suggest, label), count in self._named("verdict", 3)
        )
        labels = {"kind": KINDS, "suggest": SUGGESTS, "label": (*LABELS, OTHER)}
        return _counter("wxcheck_verdicts", "Verdicts of the platform", labels, counts)

    def failures(self) -> Metric:
        found = [(known(name, FAILURES), errcode, count) for (name, errcode), count in self._named("failed", 2)]
        codes = {int(code) for _, code, _ in found if re.fullmatch(r"-?[1-9]\d{0,8}", code, re.ASCII)}
        shown = ["", *map(str, sorted(codes)[:MAX_ERRCODES])]
        sums: Counter[tuple[str, str]] = Counter()
        for name in FAILURES:
            sums.update(dict.fromkeys(((name, code) for code in ("", OTHER, *FIRST_ERRCODES.get(name, ()))), 0))
        for name, code, count in found:
            sums[name, known(code, shown)] += count
        said = "Checks that failed, by failure and the platform's errcode, empty where there is none"
        family = CounterMetricFamily("wxcheck_failures", said, labels=["failure", "errcode"])
        for values, count in sums.items():
            family.add_metric(values, count)
        return family

    def push_delay(self, bounds: Sequence[float]) -> Metric:
        """Return the histogram of the push delay, with the upper ``bounds`` of its buckets.

        A count with another bound goes into the next bucket above. Without ``bounds``, every counted bound is a bucket.
        """
        counts = [(upper, count) for (text,), count in self._named("delay", 1) if (upper := bound(text)) is not None]
        uppers = sorted({*bounds, math.inf} if bounds else {math.inf, *(upper for upper, _ in counts)})
        del uppers[MAX_BUCKETS:-1]
        buckets: list[tuple[str, float]] = [
            (floatToGoString(upper), sum(count for other, count in counts if other <= upper))  # type: ignore[no-untyped-call]
            for upper in uppers
        ]
        milliseconds = sum(count for _, count in self._named("delay_sum", 0))
        said = "From the platform's taking a media check to the push of its verdict"
        return HistogramMetricFamily("wxcheck_push_delay_seconds", said, buckets, milliseconds / 1000)

    def _named(self, name: str, labels: int) -> Iterator[tuple[tuple[str, ...], int]]:
        for (first, *values), count in self._split:
            if first == name and len(values) == labels:
                yield tuple(values), count


def _counter(name: str, said: str, labels: Mapping[str, Sequence[str]], counts: _Counts) -> Metric:
    """Return a counter with a series for every combination of labels; other counts are left out."""
    sums = dict.fromkeys(itertools.product(*labels.values()), 0)
    for values, count in counts:
        if values in sums:
            sums[values] += count
    family = CounterMetricFamily(name, said, labels=list(labels))
    for combination, count in sums.items():
        family.add_metric(combination, count)
    return family
