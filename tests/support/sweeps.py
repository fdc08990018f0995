"""What a sweep brings on, a kind at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.due.due import look

if TYPE_CHECKING:
    import redis

    from store.parked.parked import Parked, Parking
    from store.shelf.shelf import Shelf, Shelved


def overdue(parking: Parking, store: redis.Redis, limit: int) -> list[Parked]:
    """Of the checks that wait, at most ``limit`` that are due."""
    return parking.overdue(look(store, limit).checks)


def taken_off(shelf: Shelf, store: redis.Redis, limit: int) -> list[Shelved]:
    """Of the checks on the shelf, at most ``limit`` whose time has come."""
    return shelf.due(look(store, limit).shelved)
