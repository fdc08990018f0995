"""The sandbox's tokens live, change and end as the platform's."""

from __future__ import annotations

import pytest

from sandbox.answers import Refused
from sandbox.tokens import KNOWN_TOKENS, Tokens


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(clock: Clock) -> Tokens:
    return Tokens(clock)


def stable(tokens: Tokens, force: bool = False) -> tuple[str, int]:
    return tokens.stable("wx1", force, 7200, 300)


def test_the_stable_token_stays_the_same_while_it_lives(tokens: Tokens, clock: Clock) -> None:
    first = stable(tokens)
    clock.now += 6900
    assert stable(tokens) == (first[0], 300)
    assert first[1] == 7200
    assert len(first[0]) >= 130


def test_in_its_last_five_minutes_it_is_renewed_and_both_work_for_five_more(tokens: Tokens, clock: Clock) -> None:
    old, _ = stable(tokens)
    clock.now += 7100
    new, left = stable(tokens)
    assert (new != old, left) == (True, 7200)
    clock.now += 299
    assert [tokens.owner(old), tokens.owner(new)] == [("wx1", 0), ("wx1", 0)]
    clock.now += 1
    assert [tokens.owner(old), tokens.owner(new)] == [("wx1", 40001), ("wx1", 0)]


def test_a_token_past_its_time_is_expired(tokens: Tokens, clock: Clock) -> None:
    token, _ = stable(tokens)
    clock.now += 7200
    assert tokens.owner(token) == ("wx1", 42001)
    assert stable(tokens)[0] != token


def test_an_unknown_token_is_invalid(tokens: Tokens) -> None:
    assert tokens.owner("made-up") == (None, 40001)


def test_force_refresh_kills_the_old_token_at_once(tokens: Tokens) -> None:
    old, _ = stable(tokens)
    new, _ = stable(tokens, force=True)
    assert [tokens.owner(old)[1], tokens.owner(new)[1]] == [40001, 0]


def test_force_refresh_is_refused_within_30_seconds(tokens: Tokens, clock: Clock) -> None:
    stable(tokens, force=True)
    clock.now += 29
    with pytest.raises(Refused) as caught:
        stable(tokens, force=True)
    assert caught.value.errcode == 45011


def test_force_refresh_is_refused_the_21st_time_in_a_day(tokens: Tokens, clock: Clock) -> None:
    for _ in range(20):
        stable(tokens, force=True)
        clock.now += 30
    with pytest.raises(Refused) as caught:
        stable(tokens, force=True)
    assert caught.value.errcode == 45009
    clock.now += 86_400
    assert stable(tokens, force=True)[1] == 7200


def test_each_classic_call_replaces_the_token_and_the_old_one_works_for_five_minutes(
    tokens: Tokens, clock: Clock
) -> None:
    old, _ = tokens.classic("wx1", 7200, 300)
    new, _ = tokens.classic("wx1", 7200, 300)
    clock.now += 299
    assert [tokens.owner(old)[1], tokens.owner(new)[1]] == [0, 0]
    clock.now += 1
    assert [tokens.owner(old)[1], tokens.owner(new)[1]] == [40001, 0]


def test_classic_and_stable_tokens_do_not_affect_each_other(tokens: Tokens, clock: Clock) -> None:
    token, _ = stable(tokens)
    tokens.classic("wx1", 7200, 300)
    tokens.classic("wx1", 7200, 300)
    clock.now += 400
    assert tokens.owner(token) == ("wx1", 0)
    assert stable(tokens)[0] == token


def test_tokens_of_two_mini_programs_do_not_affect_each_other(tokens: Tokens) -> None:
    token, _ = stable(tokens)
    other, _ = tokens.stable("wx2", True, 7200, 300)
    assert [tokens.owner(token), tokens.owner(other)] == [("wx1", 0), ("wx2", 0)]


def test_invalidating_kills_every_live_token(tokens: Tokens) -> None:
    old, _ = stable(tokens)
    classic, _ = tokens.classic("wx1", 7200, 300)
    assert tokens.invalidate() == 2
    assert [tokens.owner(old)[1], tokens.owner(classic)[1]] == [40001, 40001]
    new, _ = stable(tokens)
    assert tokens.owner(new) == ("wx1", 0)
    assert tokens.invalidate() == 1


def test_a_short_lifetime_still_has_a_first_half_in_which_the_token_stays(tokens: Tokens, clock: Clock) -> None:
    token, left = tokens.stable("wx1", False, 10, 300)
    clock.now += 5
    assert (tokens.stable("wx1", False, 10, 300), left) == ((token, 5), 10)
    clock.now += 1
    assert tokens.stable("wx1", False, 10, 300)[0] != token


def test_the_tokens_remembered_are_bounded(tokens: Tokens) -> None:
    first, _ = tokens.classic("wx1", 7200, 300)
    for _ in range(KNOWN_TOKENS):
        tokens.classic("wx1", 7200, 300)
    assert tokens.owner(first) == (None, 40001)
