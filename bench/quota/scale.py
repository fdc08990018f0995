"""The two scales of the bench: the platform's own quota, and one that is tenfold smaller and shorter."""

from __future__ import annotations

from dataclasses import dataclass

from config.lanes import Lane


@dataclass(frozen=True)
class Scale:
    """What a run is measured by; times in seconds."""

    name: str
    #: the quota's window: the platform's minute
    window: float
    #: calls in a window
    text: int
    media: int
    #: the time-out of a call: the longest for which a permit may be out before its window even begins
    timeout: float
    #: how long the steady state is measured: a multiple of ``window``, so that a burst in each counts as often, and at
    #: full scale of the latency model ``shift``, too, whose lulls do not count for half
    measured: float
    #: the same with a fault, after some of which nothing is sent for a window and a time-out
    measured_with_fault: float
    #: how far the fault ``clock`` steps the clock of Redis: half a window
    step: float

    @property
    def warm_up(self) -> float:
        """From the first arrival to the steady state: what the first window lets through is no steady rate."""
        return self.window + self.timeout

    def quota(self, lane: Lane) -> int:
        return self.text if lane == "text" else self.media

    def describe(self) -> str:
        return (
            f"{self.name} scale: text {self.text}, media {self.media} in {self.window:g} s, "
            f"{self.measured:g} s measured after {self.warm_up:g} s of warm-up"
        )


FULL = Scale("full", window=60, text=4000, media=2000, timeout=10, measured=240, measured_with_fault=240, step=30)
SHORT = Scale("short", window=6, text=400, media=200, timeout=5, measured=12, measured_with_fault=36, step=3)

SCALES = {scale.name: scale for scale in (FULL, SHORT)}
