"""Many revocations at once hold up nothing else: a sweep asks for some of them, and the next ones for the others."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

import pytest
from celery.worker import state

from store.places.shard import SHARD
from worker.celery_parts import revocations
from worker.celery_parts.revocations import LOOKS, Revocations

#: seconds that the store takes for some of them
SLOW = 0.01


class Places:
    """A store in which each check is in the same place."""

    def __init__(self, place: str = "") -> None:
        self.asked: Counter[str] = Counter()
        self.place = place

    def cancel(self, task_ids: list[str], _ended: str) -> list[str]:
        time.sleep(SLOW)
        self.asked.update(task_ids)
        return [self.place] * len(task_ids)


@pytest.fixture
def revoked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    monkeypatch.setattr(revocations, "LONGEST", 3 * SLOW)
    monkeypatch.setattr(revocations, "BATCH", 10)
    ids = [str(number) for number in range(200)]
    state.revoked.update(ids)
    yield ids
    state.revoked.clear()


def sweep(asked: Revocations, places: Places) -> list[str]:
    return asked.cancel(cast("Any", places), cast("Any", None), SHARD)


def test_a_sweep_asks_for_some_and_the_next_ones_for_the_others(revoked: list[str]) -> None:
    places, asked = Places("lane"), Revocations()
    first = sweep(asked, places)
    assert 0 < len(first) < len(revoked) / 2
    cancelled = first
    for _ in range(50):
        cancelled += sweep(asked, places)
    assert sorted(cancelled) == sorted(revoked)
    assert set(places.asked.values()) == {1}, "each once: their end is known"


def test_what_is_nowhere_yet_is_looked_for_some_times_and_no_more(revoked: list[str]) -> None:
    places, asked = Places(), Revocations()
    for _ in range(50 * LOOKS):
        assert sweep(asked, places) == []
    assert places.asked == dict.fromkeys(revoked, LOOKS)


def test_what_celery_has_forgotten_is_looked_for_no_more(revoked: list[str]) -> None:
    places, asked = Places(), Revocations()
    sweep(asked, places)
    state.revoked.clear()
    for _ in range(50 * LOOKS):
        sweep(asked, places)
    assert max(places.asked.values()) <= 2
    assert len(places.asked) <= len(revoked)


def test_a_store_that_is_away_is_asked_again_for_all(revoked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    places, asked = Places("parked"), Revocations()

    def away(*_: object) -> list[str]:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(places, "cancel", away)
        with pytest.raises(ConnectionError):
            sweep(asked, places)
    cancelled: list[str] = []
    for _ in range(50):
        cancelled += sweep(asked, places)
    assert sorted(cancelled) == sorted(revoked)
