"""The figures: a module each, whose docstring says exactly what is measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

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
from bench.overhead.outcome import Measured
from bench.overhead.scale import Scale
from bench.overhead.side import Options


class Figure(NamedTuple):
    run: Callable[[Scale, Options], Measured]
    #: further figures that its run brings rows of
    brings: tuple[str, ...] = ()


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
