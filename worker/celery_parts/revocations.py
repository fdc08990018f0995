"""Celery's ``revoke`` and ``revoke_by_stamped_headers`` for checks that wait.

Celery itself reaches only the messages in a worker's hands.
"""

from __future__ import annotations

import itertools
import json
import time
from typing import TYPE_CHECKING, Any, cast

from celery.worker import state
from kombu.utils.functional import maybe_list

from store.places.places import BATCH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

    from store.places.places import Places
    from store.places.shard import Shard

#: sweeps for which a revoked check is looked for that is in no place: its message may not be filed yet
LOOKS = 10
#: seconds after which a sweep leaves the other ones, and the other messages, to the next
LONGEST = 0.5
#: messages that are read at once to look for a stamp: a text may have 500 KB
SCANNED = 100


def is_stamp_revoked(stamps: Mapping[str, Any] | None) -> bool:
    """True if one of a message's stamps (a value or several, by header) was revoked."""
    return any(
        value in (maybe_list(state.revoked_stamps.get(header)) or ())
        for header, values in (stamps or {}).items()
        for value in maybe_list(values) or ()
    )


class Revocations:
    """Cancels checks that were revoked since this worker started. For one thread."""

    def __init__(self) -> None:
        #: looks that are left for each task id
        self._looks: dict[str, int] = {}
        #: task ids with looks left, in the order of their next one
        self._asked: dict[str, None] = {}
        self._stamps = _Stamps()

    def cancel(self, places: Places, redis: Redis, shard: Shard) -> list[str]:
        """Cancel revoked checks that wait, and return their ids."""
        revoked = set(state.revoked)
        for task_id in self._looks.keys() - revoked:
            del self._looks[task_id]  # Celery has forgotten the revocation by now
        self._asked.update(dict.fromkeys(self._stamps.found(redis, shard)))
        for task_id in revoked - self._looks.keys():
            self._looks[task_id] = LOOKS
            self._asked[task_id] = None
        cancelled: list[str] = []
        until = time.monotonic() + LONGEST
        # each once: those with looks left come again in the next sweep
        for _ in range(0, len(self._asked), BATCH):
            batch = list(itertools.islice(self._asked, BATCH))
            cancelled += self._cancel(places, batch)
            if time.monotonic() > until:
                break
        return cancelled

    def _cancel(self, places: Places, batch: list[str]) -> list[str]:
        cancelled = []
        for task_id, place in zip(batch, places.cancel(batch, "revoked"), strict=True):
            del self._asked[task_id]
            self._looks[task_id] = left = 0 if place else self._looks.get(task_id, 1) - 1
            if left:
                self._asked[task_id] = None
            if place in ("lane", "shelf", "parked"):
                cancelled.append(task_id)
        return cancelled


class _Stamps:
    """Looks through all messages that wait when a stamp is revoked, a part of them in each sweep."""

    def __init__(self) -> None:
        #: number of revoked stamps when the latest look began
        self._known = 0
        #: place where the look goes on; None: the look is over
        self._cursor: int | None = None

    def found(self, redis: Redis, shard: Shard) -> list[str]:
        """Return the ids of checks with a stamp that was revoked, among those looked at now."""
        number = sum(len(maybe_list(stamps) or ()) for stamps in state.revoked_stamps.values())
        if number != self._known:
            self._known, self._cursor = number, 0
        found: list[str] = []
        until = time.monotonic() + LONGEST
        while self._cursor is not None and time.monotonic() < until:
            cursor, messages = cast(
                "tuple[int, dict[str, str]]", redis.hscan(shard.key("messages"), self._cursor, count=SCANNED)
            )
            self._cursor = cursor or None
            found += [task_id for task_id, text in messages.items() if _is_revoked(text)]
        return found


def _is_revoked(text: str) -> bool:
    if "stamped_headers" not in text:
        return False  # most have none
    headers = json.loads(text)["headers"]
    stamps = headers.get("stamps") or {}
    names = headers.get("stamped_headers") or ()
    return is_stamp_revoked({name: stamps.get(name) or headers.get(name) for name in names})
