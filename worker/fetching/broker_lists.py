"""The lists in which a Redis broker keeps a queue, one for each priority that is in use. Pure.

Each publisher chooses for itself which priorities have a list of their own (kombu's ``priority_steps``), so a consumer
has to look into every list that there can be.
"""

from __future__ import annotations

from bisect import bisect

#: what kombu puts between a queue's name and a priority
SEPARATOR = "\x06\x16"
#: the priorities that kombu knows, the most urgent first
PRIORITIES = tuple(range(10))
#: those that have a list where nobody chose: every consumer reads these, so what is published here goes to one of them
PUBLISHED = (0, 3, 6, 9)


def list_of(queue: str, priority: int) -> str:
    """The list of one priority; the first one has the queue's bare name."""
    return f"{queue}{SEPARATOR}{priority}" if priority else queue


def lists_of(queue: str) -> list[str]:
    """All lists of a queue, the most urgent first."""
    return [list_of(queue, priority) for priority in PRIORITIES]


def published(priority: int) -> int:
    """The priority of the list that a message of ``priority`` is put in."""
    return PUBLISHED[bisect(PUBLISHED, priority) - 1]
