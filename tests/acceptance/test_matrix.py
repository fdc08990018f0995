"""A check ends as it should in every place of a canvas, on every arrangement of store, broker and results.

Tests: tests.matrix.canvases
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.matrix.canvases import CANVASES
from tests.matrix.running import matrix
from tests.support.topology import NAMES

#: tried with every change: all on one server, each on its own, another kind of broker; the others lie between
ALWAYS = ("one Redis", "all apart", "RabbitMQ")


@pytest.mark.parametrize(
    "topology", [pytest.param(name, marks=() if name in ALWAYS else pytest.mark.long) for name in NAMES]
)
def test_every_canvas_ends_as_it_should_and_leaves_nothing(topology: str, tmp_path: Path) -> None:
    with matrix(tmp_path, topology) as running:
        outcomes = running.outcomes()
        faults = running.faults(outcomes)
        print(running.log())
    assert not faults, "\n".join(f"{canvas}: {wrong}" for canvas, wrong in faults.items())
    assert set(outcomes) == {canvas.name for canvas in CANVASES}
