"""Each promise holds while processes die, hang and are cut off: every scenario of ``make chaos``, smaller.

Tests: tests.chaos.scenarios
"""

from __future__ import annotations

import contextlib
import fcntl
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.run import run_scenario
from tests.chaos.scenarios import SHORT, scenarios_of

TOPOLOGIES = ("one Redis", "RabbitMQ")
#: with every change; the others with make test-long
ALWAYS = ("one Redis", "workers")
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
    ("topology", "scenario"),
    [
        pytest.param(topology, name, marks=() if (topology, name) == ALWAYS else pytest.mark.long)
        for topology in TOPOLOGIES
        for name in scenarios_of(topology)
    ],
)
def test_no_check_is_lost_and_follow_ups_are_published_as_promised(
    topology: str, scenario: str, tmp_path: Path
) -> None:
    outcome = run_scenario(scenario, SHORT, secrets.randbelow(1_000_000), tmp_path, topology=topology)
    assert outcome.holds, outcome.told()
    assert outcome.checks >= SHORT.checks - outcome.refused
