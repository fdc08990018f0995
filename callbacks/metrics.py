"""What the endpoint counts, and the text that Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from callbacks.outcomes import Outcome

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3)


class Metrics:
    """The counters of one endpoint, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._pushes = Counter(
            "wxcheck_pushes", "Requests to the push URL, by what became of them", ["outcome"], registry=self._registry
        )
        for outcome in Outcome:
            self._pushes.labels(outcome)  # a series that starts at 0 shows its first increase
        #: seconds, those of failed publishes too
        self.publish_seconds = Histogram(
            "wxcheck_publish_seconds",
            "Seconds to put a push on the queue, failures included",
            buckets=_BUCKETS,
            registry=self._registry,
        )

    def count(self, outcome: Outcome) -> None:
        self._pushes.labels(outcome).inc()

    def exposition(self, events: Mapping[str, int]) -> bytes:
        """Everything in Prometheus' text format, with ``events``, which the workers count in the store."""
        cluster = CollectorRegistry()
        cluster.register(_ClusterEvents(events))
        return generate_latest(self._registry) + generate_latest(cluster)


class _ClusterEvents(Collector):
    def __init__(self, events: Mapping[str, int]) -> None:
        self._events = events

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily("wxcheck_events", "Events of all workers, counted in the store", labels=["event"])
        for event, count in sorted(self._events.items()):
            family.add_metric([event], count)
        yield family
