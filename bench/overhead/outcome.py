"""What is told of a run: rows of two sides and their ratio. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal


@dataclass(frozen=True)
class Target:
    """What a ratio, or where ``of_value`` wxcheck's own figure, has to be."""

    sense: Literal["at least", "at most"]
    bound: float
    of_value: bool = False

    def is_reached(self, value: float) -> bool:
        return value >= self.bound if self.sense == "at least" else value <= self.bound

    def told(self, unit: str) -> str:
        sign = "≥" if self.sense == "at least" else "≤"
        return f"{sign} {self.bound:g}{f' {unit}' if self.of_value else ''}"


def at_least(bound: float) -> Target:
    return Target("at least", bound)


def at_most(bound: float) -> Target:
    return Target("at most", bound)


@dataclass(frozen=True)
class Row:
    """One line of the table: ``ours`` and ``peers`` hold a value of each round, in its order.

    Without peers it is a figure of its own, and with ``target.of_value`` that itself has a target. A figure that is the
    ratio of one pair only, or of pooled values, has one value on each side.
    """

    figure: str
    title: str
    unit: str
    ours: Sequence[float]
    peers: Sequence[float] = ()
    peer: str = ""
    target: Target | None = None

    @property
    def value(self) -> float:
        """wxcheck's own figure, the median over the rounds."""
        return median(self.ours)

    @property
    def peer_value(self) -> float | None:
        return median(self.peers) if self.peers else None

    @property
    def ratios(self) -> list[float]:
        """wxcheck to peer, round by round."""
        return [ratio(mine, other) for mine, other in zip(self.ours, self.peers, strict=True)] if self.peers else []

    @property
    def ratio(self) -> float | None:
        """The median of the rounds' ratios."""
        return median(self.ratios) if self.peers else None

    @property
    def is_reached(self) -> bool | None:
        """None where there is no target."""
        if self.target is None:
            return None
        judged = self.value if self.target.of_value else self.ratio
        return judged is not None and self.target.is_reached(judged)

    def as_json(self) -> dict[str, Any]:
        return {
            "figure": self.figure,
            "title": self.title,
            "unit": self.unit,
            "wxcheck": {"median": self.value, "rounds": list(self.ours)},
            "peer": {"what": self.peer, "median": self.peer_value, "rounds": list(self.peers)} if self.peers else None,
            "ratio": {"median": self.ratio, "rounds": self.ratios} if self.peers else None,
            "target": self.target.told(self.unit) if self.target else None,
            "reached": self.is_reached,
        }


@dataclass
class Measured:
    """What one figure's run brings: rows, and the series that its plot is drawn from, by a name of theirs."""

    rows: list[Row] = field(default_factory=list)
    series: dict[str, Any] = field(default_factory=dict)


def ratio(mine: float, other: float) -> float:
    """``mine`` to ``other``; nothing to nothing is even.

    Raises:
        ValueError: there is no ratio to nothing.
    """
    if other == 0:
        if mine == 0:
            return 1.0
        raise ValueError(f"ratio: {mine} to nothing; the peer did not run")
    return mine / other


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of ``values`` that ``share`` of them do not exceed.

    Raises:
        ValueError: there are none.
    """
    if not values:
        raise ValueError("percentile: of no values; nothing was measured")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def steady_rate(times: Sequence[float], low: float = 0.1, high: float = 0.9) -> float:
    """Completions a second, by the times of each (seconds), without the ramp-up and the tail.

    Raises:
        ValueError: there are too few to leave any out.
    """
    ordered = sorted(times)
    first, last = math.floor(len(ordered) * low), math.ceil(len(ordered) * high) - 1
    if last - first < 1 or ordered[last] <= ordered[first]:
        raise ValueError(f"rate: {len(ordered)} completions are too few to tell one")
    return (last - first) / (ordered[last] - ordered[first])
