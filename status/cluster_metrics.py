"""What every endpoint tells Prometheus alike: the numbers of the whole cluster, read from the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric

from status.prometheus import families


class Numbers(Protocol):
    """Reads what the whole cluster keeps in the store; both methods may block, and fail."""

    def read(self) -> Mapping[str, Any]:
        """The numbers of the board."""

    def totals(self) -> Mapping[str, int]:
        """What was ever counted, ``name|label|…`` to a count."""


def cluster_metrics(events: Callable[[], Mapping[str, int]] | None, numbers: Numbers | None) -> list[Metric]:
    """What every endpoint tells alike. May block, may fail; all that can fail does so here.

    ``events``: what the workers counted, by the event's name.
    """
    family = CounterMetricFamily("wxcheck_events", "Events of all workers, counted in the store", labels=["event"])
    for event, count in sorted(events().items() if events else ()):
        family.add_metric([event], count)
    return [family, *(families(numbers.read(), numbers.totals()) if numbers else ())]
