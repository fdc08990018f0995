"""The faults of a line, and the error that ends a run."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """One fault of a line; it never quotes the line's content."""

    line: int
    field: str
    #: the fault, and its remedy
    said: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.field}: {self.said}"


class CannotGoOn(Exception):
    """The run cannot begin, or go on. The message says why, with the remedy."""
