"""The sandbox counts calls by the second, the minute and the day, as the platform does."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sandbox.answers import Refused
from sandbox.quotas import Limits, Quotas

TEXT = "/wxa/msg_sec_check"


class Clock:
    def __init__(self, at: str) -> None:
        self.now = datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp()

    def __call__(self) -> float:
        return self.now


def spend(quotas: Quotas, limits: Limits, appid: str = "wx1", path: str = TEXT) -> int:
    try:
        quotas.spend(appid, path, limits)
    except Refused as refused:
        return refused.errcode
    return 0


def test_the_minute_is_the_wall_clock_s() -> None:
    clock = Clock("2026-03-01T10:00:59.5")
    quotas, limits = Quotas(clock), Limits(2, 100)
    assert [spend(quotas, limits) for _ in range(3)] == [0, 0, 44991]
    clock.now += 0.5
    assert spend(quotas, limits) == 0


def test_the_day_ends_at_midnight_in_shanghai() -> None:
    clock = Clock("2026-03-01T15:59:00")
    quotas, limits = Quotas(clock), Limits(100, 1)
    assert [spend(quotas, limits), spend(quotas, limits)] == [0, 45009]
    clock.now += 60
    assert spend(quotas, limits) == 0
    clock.now += 8 * 3600  # midnight in UTC, the same day in Shanghai
    assert spend(quotas, limits) == 45009


def test_refused_calls_count_towards_the_day() -> None:
    clock = Clock("2026-03-01T10:00:00")
    quotas, limits = Quotas(clock), Limits(1, 3)
    assert [spend(quotas, limits) for _ in range(3)] == [0, 44991, 44991]
    clock.now += 60
    assert spend(quotas, limits) == 45009
    assert quotas.used_today("wx1", TEXT) == 4


def test_a_burst_within_a_second_is_refused() -> None:
    clock = Clock("2026-03-01T10:00:00")
    quotas, limits = Quotas(clock), Limits(100, 100, per_second=2)
    assert [spend(quotas, limits) for _ in range(3)] == [0, 0, 44990]
    clock.now += 1
    assert spend(quotas, limits) == 0


def test_other_endpoints_answer_another_errcode() -> None:
    quotas, limits = Quotas(Clock("2026-03-01T10:00:00")), Limits(0, 100, minute_errcode=45011)
    assert spend(quotas, limits) == 45011


@pytest.mark.parametrize(("appid", "path"), [("wx2", TEXT), ("wx1", "/wxa/media_check_async")])
def test_each_appid_and_each_api_has_its_own_quota(appid: str, path: str) -> None:
    quotas, limits = Quotas(Clock("2026-03-01T10:00:00")), Limits(1, 100)
    assert spend(quotas, limits) == 0
    assert spend(quotas, limits, appid, path) == 0
    assert spend(quotas, limits) == 44991
