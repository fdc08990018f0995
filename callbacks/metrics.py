"""The endpoint's counters, and the text that Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from wechat.push.outcomes import Outcome

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3)


class Metrics:
    """The counters of one endpoint, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        pushes = Counter(
            "wxcheck_pushes", "Requests to the push URL, by what became of them", ["outcome"], registry=self._registry
        )
        # a series that starts at 0 shows its first increase
        self._pushes = {outcome: pushes.labels(outcome) for outcome in Outcome}
        #: seconds, with failed publishes too
        self.publish_seconds = Histogram(
            "wxcheck_publish_seconds",
            "Seconds to put a push on the queue, failures included",
            buckets=_BUCKETS,
            registry=self._registry,
        )

    def count(self, outcome: Outcome) -> None:
        self._pushes[outcome].inc()

    def exposition(self, cluster: list[Metric] | None) -> bytes:
        """Return every metric in Prometheus' text format. ``cluster`` is None if the store gave no numbers."""
        registry = CollectorRegistry()
        registry.register(_Cluster(cluster))
        return generate_latest(self._registry) + generate_latest(registry)


class _Cluster(Collector):
    def __init__(self, metrics: list[Metric] | None) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        said = "1 where the store told the cluster's numbers in time; 0: they are left out"
        yield GaugeMetricFamily("wxcheck_store_up", said, value=self._metrics is not None)
        yield from self._metrics or ()
