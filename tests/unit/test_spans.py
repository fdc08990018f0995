"""A length of time is told in the unit that people would use."""

from __future__ import annotations

import pytest

from status.spans import span


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [
        (0, "0 s", "0 秒"),
        (89, "89 s", "89 秒"),
        (120, "2 min", "2 分钟"),
        (5399, "90 min", "90 分钟"),
        (5400, "1.5 h", "1.5 小时"),
        (360_000, "100.0 h", "100.0 小时"),
    ],
)
def test_seconds_become_minutes_and_hours(seconds: float, english: str, chinese: str) -> None:
    assert span(seconds) == {"en": english, "zh": chinese}
