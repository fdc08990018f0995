"""The day of the platform's quotas begins at midnight in Shanghai."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from config.days import DAY, SHANGHAI_ZONE, day_of, next_midnight, seconds_of_day

#: midnight in Shanghai
MIDNIGHT = datetime(2026, 7, 1, 16, tzinfo=UTC).timestamp()


def test_a_day_ends_at_sixteen_hours_utc() -> None:
    assert day_of(MIDNIGHT) == day_of(MIDNIGHT - 0.001) + 1
    assert seconds_of_day(MIDNIGHT) == 0
    assert next_midnight(MIDNIGHT - 0.001) == MIDNIGHT
    assert next_midnight(MIDNIGHT) == MIDNIGHT + DAY


@given(st.integers(0, 4_000_000_000))
def test_the_next_midnight_is_that_of_shanghais_calendar(at: int) -> None:
    there, midnight = (datetime.fromtimestamp(time, SHANGHAI_ZONE) for time in (at, next_midnight(at)))
    assert (midnight.date() - there.date()).days == 1
    assert (midnight.hour, midnight.minute, midnight.second) == (0, 0, 0)
    assert next_midnight(at) - at == DAY - seconds_of_day(at)
