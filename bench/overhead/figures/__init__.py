"""The figures: a module each, whose docstring says exactly what is measured."""

from __future__ import annotations

from bench.overhead.command import Figure
from bench.overhead.figures import (
    endpoint,
    finish,
    latency,
    media,
    memory,
    parked,
    redis_cost,
    scaling,
    sweep,
    text,
    trips,
)

FIGURES: dict[str, Figure] = {
    "text": Figure(text.run, ("cpu",)),
    "media": Figure(media.run, ("cpu",)),
    "latency": Figure(latency.run),
    "endpoint": Figure(endpoint.run),
    "parked": Figure(parked.run),
    "finish": Figure(finish.run, ("sweep",)),
    "sweep": Figure(sweep.run),
    "memory": Figure(memory.run),
    "scaling": Figure(scaling.run),
    "trips": Figure(trips.run),
    "redis": Figure(redis_cost.run),
}
