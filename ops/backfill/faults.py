"""What is wrong with a line, and what ends a run."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """One thing that is wrong with a line; never with its content."""

    line: int
    field: str
    #: what is wrong, and what to do
    said: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.field}: {self.said}"


class CannotGoOn(Exception):
    """The run cannot begin, or go on. The message says why, and what to do."""
