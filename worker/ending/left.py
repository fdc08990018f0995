"""What a run leaves at its end, kept until the store has the end: results, messages that follow, its part of a chord.

Celery publishes what follows a task, stores its result and counts its part of a chord, each by itself. A process may
die between any two of these. So a run keeps them, the step that ends its check (:mod:`store.places`) takes them all,
and a relay (:mod:`worker.ending.relay`) brings them where they belong.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu.utils import json

from store.places.forms import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

#: number of the format in which a run's leavings are written
FORMAT = 1
#: fields of a task's request that its failure needs
REQUEST = ("id", "root_id", "parent_id", "group", "group_index", "chord", "chain", "errbacks", "ignore_result")


class ChordPart(NamedTuple):
    """A part of a chord that has ended."""

    #: fields of the task's request: id, group, group_index, chord
    request: dict[str, Any]
    state: str
    #: as the backend encodes it
    result: Any


class NewerFormat(Exception):
    """A later version has written what a run left."""


@dataclass
class Left:
    """What a run leaves; all of it are JSON values."""

    results: list[Result] = field(default_factory=list)
    #: publications (:mod:`worker.ending.publications`)
    publications: list[dict[str, Any]] = field(default_factory=list)
    chord_parts: list[ChordPart] = field(default_factory=list)
    #: fields of the task's request (REQUEST), by which the check fails if the rest cannot go out
    request: dict[str, Any] = field(default_factory=dict)
    #: what follows from a failure is kept
    is_failed: bool = False
    #: times that it was refused
    tries: int = 0

    def __bool__(self) -> bool:
        return bool(self.results or self.publications or self.chord_parts)

    def fail(self) -> None:
        """Forget what was to follow a success, since the check fails."""
        self.is_failed = True
        for kept in (self.results, self.publications, self.chord_parts):
            kept.clear()

    def text(self) -> str:
        """Return the JSON in which it is kept in the store's outbox."""
        said = {
            "v": FORMAT,
            "results": self.results,
            "publications": self.publications,
            "chords": self.chord_parts,
            "request": self.request,
            "tries": self.tries,
        }
        return str(json.dumps(said, separators=(",", ":")))


def read_left(text: str) -> Left:
    """Read what :meth:`Left.text` has written.

    Raises:
        NewerFormat: a later version has written it.
    """
    said = json.loads(text)
    if said["v"] > FORMAT:
        raise NewerFormat(f"format {said['v']}, and this version reads {FORMAT}")
    return Left(
        [Result(*result) for result in said["results"]],
        said["publications"],
        [ChordPart(*part) for part in said["chords"]],
        said["request"],
        tries=said["tries"],
    )


_left: ContextVar[Left | None] = ContextVar("left", default=None)
#: returns, or sets, what keeps this thread's leavings; None: they go out
kept_by, keep_by = _left.get, _left.set


@contextmanager
def keeping(left: Left) -> Iterator[None]:
    """Have ``left`` keep what this thread leaves meanwhile, instead of letting it go out."""
    token = _left.set(left)
    try:
        yield
    finally:
        _left.reset(token)
