"""The figures: a module each, whose docstring says exactly what is measured."""

from __future__ import annotations

from bench.holding.figures import beside, closed, lanes, overdue, revoked, scripts, tight, trips
from bench.overhead.command import Figure

FIGURES: dict[str, Figure] = {
    "closed": Figure(closed.run),
    "tight": Figure(tight.run),
    "scripts": Figure(scripts.run),
    "beside": Figure(beside.run),
    "lanes": Figure(lanes.run),
    "overdue": Figure(overdue.run),
    "revoked": Figure(revoked.run),
    "trips": Figure(trips.run),
}
