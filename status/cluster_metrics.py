"""Metrics that are the same on every endpoint: the numbers of the whole cluster, read from the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric

from status.prometheus import families


class Numbers(Protocol):
    """Reads the cluster's numbers from the store; both methods may block, and fail."""

    def read(self) -> Mapping[str, Any]:
        """The numbers of the board."""

    def totals(self) -> Mapping[str, int]:
        """Lifetime totals, ``name|label|…`` -> count."""


def cluster_metrics(events: Callable[[], Mapping[str, int]] | None, numbers: Numbers | None) -> list[Metric]:
    """Return the cluster's metrics. May block, may fail: the caller needs to guard no other step.

    ``events``: returns the workers' counts by the event's name.
    """
    family = CounterMetricFamily("wxcheck_events", "Events of all workers, counted in the store", labels=["event"])
    for event, count in sorted(events().items() if events else ()):
        family.add_metric([event], count)
    return [family, *(families(numbers.read(), numbers.totals()) if numbers else ())]
