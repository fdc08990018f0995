"""The board's password may be guessed a few times and no more, and the right one is never locked out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.board.guesses import (
    ALL_FREE,
    ALL_SECONDS,
    FREE,
    MAX_ADDRESSES,
    PATIENCE,
    SECONDS,
    Guesses,
    address_of,
)

NOW = 1000.0


def looked_at(guesses: Guesses, address: str, times: int, now: float = NOW) -> int:
    return sum(guesses.turn(address, now) is not None for _ in range(times))


def test_an_address_has_a_few_guesses_at_once_and_then_one_a_second() -> None:
    guesses = Guesses()
    waits = [guesses.turn("a", NOW) for _ in range(FREE)]
    assert waits == [0.0] * FREE
    assert guesses.turn("a", NOW) == SECONDS
    assert guesses.turn("a", NOW) == 2 * SECONDS
    assert guesses.turn("a", NOW) is None
    assert guesses.turn("b", NOW) == 0


def test_all_addresses_together_have_a_bound() -> None:
    guesses = Guesses()
    taken = sum(guesses.turn(f"address-{number}", NOW) is not None for number in range(1000))
    assert taken == pytest.approx(ALL_FREE + PATIENCE / ALL_SECONDS, abs=1)


def test_a_right_password_costs_nothing_however_often_it_comes() -> None:
    guesses = Guesses()
    for _ in range(1000):
        assert guesses.turn("a", NOW) == 0
        guesses.right("a")


def test_an_address_that_knew_the_password_is_not_delayed_by_others_guesses() -> None:
    guesses = Guesses()
    guesses.turn("known", NOW)
    guesses.right("known")
    for number in range(1000):
        guesses.turn(f"address-{number}", NOW)
    assert guesses.turn("known", NOW) == 0
    assert guesses.turn("unknown", NOW) is None


def test_a_right_password_does_not_pay_for_wrong_ones_of_its_address() -> None:
    guesses = Guesses()
    for _ in range(100):
        looked_at(guesses, "shared", FREE)
        if guesses.turn("shared", NOW) is not None:
            guesses.right("shared")
    assert looked_at(guesses, "shared", 100) == 0


def test_when_the_guessing_is_over_the_right_password_is_soon_looked_at() -> None:
    guesses = Guesses()
    looked_at(guesses, "a", 100_000)
    assert guesses.turn("a", NOW + SECONDS) is not None


@given(st.lists(st.tuples(st.integers(0, 200), st.floats(0, 2)), max_size=400))
def test_no_more_guesses_are_looked_at_than_their_bounds_say(guessed: list[tuple[int, float]]) -> None:
    guesses, now = Guesses(), NOW
    of_one: dict[int, int] = {}
    for number, later in guessed:
        now += later
        if guesses.turn(str(number), now) is not None:
            of_one[number] = of_one.get(number, 0) + 1
    seconds = now - NOW + PATIENCE
    assert all(count <= FREE + seconds / SECONDS + 1e-6 for count in of_one.values())
    assert sum(of_one.values()) <= ALL_FREE + seconds / ALL_SECONDS + 1e-6


def test_no_more_addresses_are_remembered_than_there_is_room_for() -> None:
    guesses = Guesses()
    for number in range(3 * MAX_ADDRESSES):
        guesses.turn(str(number), NOW + number)
        guesses.right(str(number))
        guesses.turn(f"wrong-{number}", NOW + number)
    assert len(guesses._paid) <= MAX_ADDRESSES
    assert len(guesses._trusted) <= MAX_ADDRESSES


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::9", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("testclient", "testclient"),
        ("x" * 1000, "x" * 64),
    ],
)
def test_who_guesses_is_an_address_or_the_half_of_one_that_its_owner_has_all_of(host: str, address: str) -> None:
    assert address_of((host, 1)) == address
    assert address_of(None) == ""
