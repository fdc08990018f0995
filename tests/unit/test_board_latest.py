"""All who look at the board share its newest numbers, by a clock of the test's own."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from ops.board.latest import FRESH_SECONDS, Latest
from store.connection import STORE_AWAY


class World:
    """A clock that moves when it is told to, and a store that counts how often it is read."""

    def __init__(self) -> None:
        self.now = 100.0
        self.reads = 0
        self.fault: Exception | None = None
        self.latest = Latest(self.read, "127.0.0.1:6379", "0.1.0", lambda: self.now)

    def read(self) -> dict[str, Any]:
        self.reads += 1
        if self.fault is not None:
            raise self.fault
        return {"at": 7.0, "reading": self.reads, "stale_seconds": 0, "troubles": []}

    def looks(self, number: int = 1) -> list[dict[str, Any]]:
        """The answers to ``number`` browsers that look at once."""

        async def look() -> list[bytes]:
            return [body.plain for body in await asyncio.gather(*[self.latest.body() for _ in range(number)])]

        return [json.loads(body) for body in asyncio.run(look())]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    # a reading takes no time here, but its thread may have to wait for its turn
    monkeypatch.setattr("ops.board.latest.PATIENCE_SECONDS", 60.0)
    return World()


def test_all_who_look_within_a_second_share_one_reading(world: World) -> None:
    assert {told["reading"] for told in world.looks(50)} == {1}
    world.now += FRESH_SECONDS * 0.99
    assert {told["reading"] for told in world.looks(50)} == {1}
    world.now += FRESH_SECONDS * 0.02
    assert {told["reading"] for told in world.looks(50)} == {2}
    assert world.reads == 2


def test_a_store_that_is_away_is_not_asked_more_often(world: World) -> None:
    world.looks()
    world.fault = STORE_AWAY[1]("gone")
    world.now += 60
    world.looks(50)
    assert world.reads == 2


def test_stale_seconds_count_from_the_last_good_reading(world: World) -> None:
    world.looks()
    world.fault = STORE_AWAY[1]("gone")
    told = []
    for _ in range(3):
        world.now += 5
        told += world.looks()
    assert [each["stale_seconds"] for each in told] == [5, 10, 15]
    assert {each["reading"] for each in told} == {1}
    world.fault = None
    world.now += 5
    assert world.looks()[0]["stale_seconds"] == 0
