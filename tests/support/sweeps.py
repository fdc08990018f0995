"""What a sweep brings on, a kind at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.due import look

if TYPE_CHECKING:
    import redis

    from worker.parking import Parked, Parking
    from worker.shelf import Held, Shelf


def overdue(parking: Parking, store: redis.Redis, limit: int) -> list[Parked]:
    """Of the checks that wait, at most ``limit`` that are due."""
    return parking.overdue(look(store, limit).checks)


def taken_off(shelf: Shelf, store: redis.Redis, limit: int) -> list[Held]:
    """Of the checks on the shelf, at most ``limit`` whose time has come."""
    return shelf.due(look(store, limit).shelved)
