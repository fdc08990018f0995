"""The board says what is wrong, and what mends it, while it cannot read the store."""

from __future__ import annotations

import pytest

from ops.board.away import NotReadable, place, store_away, store_silent
from store.connection import STORE_AWAY


@pytest.mark.parametrize("error", STORE_AWAY)
def test_whatever_a_store_says_that_is_away_has_a_sentence_and_a_remedy(error: type[Exception]) -> None:
    told = store_away("10.0.0.7:6379", error("Error 111 connecting to 10.0.0.7:6379. Connection refused.")).trouble()
    assert told["said"]["en"] == "Redis at 10.0.0.7:6379 does not answer: Connection refused."
    assert "10.0.0.7:6379" in told["said"]["zh"]
    assert all(told["remedy"][language] for language in ("en", "zh"))
    assert error.__name__ in store_away("10.0.0.7:6379", error("")).said["en"]


def test_the_other_faults_are_told_too() -> None:
    assert "no answer within 2 s" in store_silent("localhost:6379", 2).said["en"]
    assert "KeyError" in NotReadable("KeyError").trouble()["said"]["zh"]


def test_a_servers_place_holds_no_password() -> None:
    assert place("redis://user:hush@store.example:7000/3") == "store.example:7000"
    assert place("redis://") == "127.0.0.1:6379"
