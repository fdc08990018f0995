"""The lists in which a Redis broker keeps a queue, one for each priority that is in use. Pure.

Each publisher chooses the priorities with a list of their own (kombu's ``priority_steps``), so a consumer has to look
into every possible list.
"""

from __future__ import annotations

from bisect import bisect

#: kombu's separator between a queue's name and a priority
SEPARATOR = "\x06\x16"
#: the priorities that kombu knows, the most urgent first
PRIORITIES = tuple(range(10))
#: priorities with a list by default: every consumer reads these lists, so all messages are published to one of them
PUBLISHED = (0, 3, 6, 9)


def list_of(queue: str, priority: int) -> str:
    """Return the list of one priority. The list of priority 0 has the queue's bare name."""
    return f"{queue}{SEPARATOR}{priority}" if priority else queue


def lists_of(queue: str) -> list[str]:
    """Return all lists of a queue, the most urgent first."""
    return [list_of(queue, priority) for priority in PRIORITIES]


def published(priority: int) -> int:
    """Return the priority of the list for a message of ``priority``."""
    return PUBLISHED[bisect(PUBLISHED, priority) - 1]
