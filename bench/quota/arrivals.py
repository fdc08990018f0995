"""The file in which the recording server notes its calls, and which the bench reads while it grows."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

from bench.quota.windows import SECOND, Span
from config.lanes import LANES, Lane

#: arrival by the monotonic clock and by the wall clock, the time that the answer takes (all in ns), the lane
_RECORD = struct.Struct("<qqqb")


@dataclass
class Arrivals:
    """The calls of one lane in the order of their arrival, as columns; nanoseconds."""

    #: by the machine's monotonic clock, which every process of it shares
    times: list[int] = field(default_factory=list)
    #: by the wall clock
    wall_times: list[int] = field(default_factory=list)
    #: how long each answer was delayed
    delays: list[int] = field(default_factory=list)

    def mean_answer(self, span: Span) -> float:
        """The mean time of the answers to calls that arrived within ``span``, in seconds; 0 where there were none."""
        within = [delay for time, delay in zip(self.times, self.delays, strict=True) if span.start <= time < span.end]
        return sum(within) / len(within) / SECOND if within else 0.0


def pack(monotonic: int, wall: int, delay: int, lane: Lane) -> bytes:
    """One call as it stands in the file."""
    return _RECORD.pack(monotonic, wall, delay, LANES.index(lane))


class ArrivalFile:
    """Reads what has been added to the file since the last time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self.lanes: dict[Lane, Arrivals] = {lane: Arrivals() for lane in LANES}

    def update(self) -> None:
        """Reads on. A record that is only half written yet is left for the next time; so is a file not yet made."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                content = file.read()
        except FileNotFoundError:
            return
        whole = len(content) - len(content) % _RECORD.size
        self._read += whole
        for monotonic, wall, delay, lane in _RECORD.iter_unpack(content[:whole]):
            arrivals = self.lanes[LANES[lane]]
            arrivals.times.append(monotonic)
            arrivals.wall_times.append(wall)
            arrivals.delays.append(delay)

    def first(self) -> int | None:
        """When the first call of any lane came, in nanoseconds of the monotonic clock; None where none has."""
        return min((arrivals.times[0] for arrivals in self.lanes.values() if arrivals.times), default=None)
