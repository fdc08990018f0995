"""A rate is read as Celery's users write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.celery_parts.rate_command import RateRefused, calls_per_minute


@pytest.mark.parametrize(
    ("declared", "per_minute"),
    [
        ("600/m", 600),
        ("4000/m", 4000),
        ("10/s", 600),
        ("36000/h", 600),
        ("100", 6000),
        (10, 600),
        (0.5, 30),
        ("0.5/s", 30),
        ("90/h", 1),
        ("1/m", 1),
        ("60/h", 1),
        ("0.1/s", 6),
    ],
)
def test_a_rate_is_read_as_celery_reads_it(declared: str | float, per_minute: int) -> None:
    assert calls_per_minute(declared) == per_minute


@pytest.mark.parametrize("declared", [None, 0, "0", "0/m", "", 0.0])
def test_no_rate_is_none(declared: str | float | None) -> None:
    assert calls_per_minute(declared) is None


@given(st.integers(1, 1_000_000))
def test_no_call_is_lost_by_rounding(per_minute: int) -> None:
    assert calls_per_minute(f"{per_minute}/m") == per_minute
    assert calls_per_minute(f"{per_minute * 60}/h") == per_minute
    assert calls_per_minute(per_minute / 60) == per_minute


@given(st.integers(1, 100_000))
def test_a_rate_an_hour_is_never_rounded_up(per_hour: int) -> None:
    if per_hour < 60:
        with pytest.raises(RateRefused, match="less than one call a minute"):
            calls_per_minute(f"{per_hour}/h")
    else:
        assert calls_per_minute(f"{per_hour}/h") == per_hour // 60


@pytest.mark.parametrize("declared", ["many", "10/x", "/m", "10/m/s", "10 m", "10/d", "10/M0"])
def test_what_is_no_rate_is_refused_with_what_to_write(declared: object) -> None:
    with pytest.raises(RateRefused, match="write 600/m, 10/s or 36000/h"):
        calls_per_minute(declared)  # type: ignore[arg-type]


@pytest.mark.parametrize("declared", ["-1/m", -5, "-600/m", "nan", float("nan"), "inf", float("inf"), "1e999/m"])
def test_a_rate_that_no_number_of_calls_can_keep_is_refused(declared: str | float) -> None:
    with pytest.raises(RateRefused):
        calls_per_minute(declared)


def test_a_refusal_quotes_only_the_begin_of_what_it_was_given() -> None:
    with pytest.raises(RateRefused) as refused:
        calls_per_minute("x" * 1000)
    assert len(str(refused.value)) < 120
