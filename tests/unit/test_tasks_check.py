"""Checks that wait for the next day come back in the order in which they came, by the day in Shanghai."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tasks.check import RESERVE_SPREAD, spread_of

#: midnight in Shanghai
MIDNIGHT = datetime(2026, 11, 28, 16, tzinfo=UTC)


def test_the_checks_of_a_day_keep_their_order_over_the_day_s_turn_in_utc() -> None:
    spreads = [spread_of((MIDNIGHT + timedelta(hours=hours)).timestamp()) for hours in (0, 7.9, 8.1, 23.9)]
    assert spreads == sorted(spreads)
    assert spreads[0] == 0 < spreads[-1] < RESERVE_SPREAD
