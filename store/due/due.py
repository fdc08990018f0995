"""The checks that are due now: one look for all jobs of the sweeper, one round trip while nothing is due."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from store import keys
from store.scripts import script

if TYPE_CHECKING:
    from redis import Redis


class Due(NamedTuple):
    """The checks that are due, the longest wait first."""

    #: ``appid:trace_id`` of checks that wait for their push, or whose finish hangs (:mod:`store.parked`)
    checks: list[str]
    #: task ids of checks on the shelf (:mod:`store.shelf`)
    shelved: list[str]


def look(redis: Redis, limit: int) -> Due:
    """Return the checks that are due, at most ``limit`` of each kind."""
    return Due(*script(redis, "store/due/look")(keys=[keys.DUE, keys.SHELF], args=[limit]))
