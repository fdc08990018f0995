"""Each scenario of ``make chaos``, smaller: what is promised holds while processes die, hang and are cut off."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.chaos.run import run_scenario
from tests.chaos.scenarios import SCENARIOS, SHORT


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_check_is_lost_and_no_follow_up_is_published_twice(scenario: str, tmp_path: Path) -> None:
    outcome = run_scenario(scenario, SHORT, secrets.randbelow(1_000_000), tmp_path)
    assert outcome.holds, outcome.told()
    assert outcome.checks >= SHORT.checks - outcome.refused
