"""Sweeps one kind of thing at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.due.due import look

if TYPE_CHECKING:
    import redis

    from store.parked.parked import Parked, Parking
    from store.shelf.shelf import Shelf, Shelved


def overdue(parking: Parking, store: redis.Redis, limit: int) -> list[Parked]:
    """At most ``limit`` of the waiting checks that are due."""
    return parking.overdue(look(store, limit).checks)


def taken_off(shelf: Shelf, store: redis.Redis, limit: int) -> list[Shelved]:
    """At most ``limit`` of the checks on the shelf whose time has come."""
    return shelf.take(look(store, limit).shelved)
