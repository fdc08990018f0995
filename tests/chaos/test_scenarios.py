"""Each scenario of ``make chaos``, smaller: what is promised holds while processes die, hang and are cut off."""

from __future__ import annotations

import contextlib
import fcntl
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.run import run_scenario
from tests.chaos.scenarios import SCENARIOS, SHORT

#: with every change; the others, which wait for minutes, with make test-long
ALWAYS = ("workers", "endpoint", "connections")
#: at a time: each of them starts nine processes
AT_ONCE = 2


@pytest.fixture
def turn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Waits until few others run, in whatever process of pytest."""
    place = tmp_path_factory.getbasetemp().parent
    with contextlib.ExitStack() as stack:
        locks = [stack.enter_context((place / f"chaos-{number}.lock").open("w")) for number in range(AT_ONCE)]
        while True:
            for lock in locks:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield
                return
            time.sleep(0.2)


@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("turn")
@pytest.mark.parametrize(
    "scenario", [pytest.param(name, marks=() if name in ALWAYS else pytest.mark.long) for name in SCENARIOS]
)
def test_no_check_is_lost_and_no_follow_up_is_published_twice(scenario: str, tmp_path: Path) -> None:
    outcome = run_scenario(scenario, SHORT, secrets.randbelow(1_000_000), tmp_path)
    assert outcome.holds, outcome.told()
    assert outcome.checks >= SHORT.checks - outcome.refused
