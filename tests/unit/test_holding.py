"""The bench of what waits reckons right, in its pure parts, and its scales measure the same.

Tests: bench.holding
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, astuple

import pytest

from bench.holding.figures import FIGURES
from bench.holding.figures.lanes import A_MINUTE, most_in_window, use
from bench.holding.scale import FULL, QUICK
from bench.holding.system import appids
from bench.overhead.clones import Template
from bench.platform import appid_in
from bench.servers import APPID


def test_use_is_that_between_the_first_and_the_last_arrival_within_the_time() -> None:
    evenly = [number * 60 / A_MINUTE for number in range(4 * A_MINUTE)]
    assert use(evenly, 60.0, 180.0) == pytest.approx(1.0)
    assert use([at * 2 for at in evenly], 60.0, 180.0) == pytest.approx(0.5)


def test_the_most_in_a_window_is_found_wherever_it_begins() -> None:
    assert most_in_window([0.0, 59.0, 60.0, 61.0, 118.9, 200.0], 60.0) == 4
    assert most_in_window([5.0], 60.0) == 1


def test_a_message_is_made_out_for_another_mini_program_and_nothing_else_changes() -> None:
    body = base64.b64encode(json.dumps([[], {"appid": APPID}, {}]).encode()).decode()
    (other,) = appids(1)
    made = json.loads(Template("q", json.dumps({"body": body, "headers": {"id": "i"}})).of(other).raw)
    assert json.loads(base64.b64decode(made["body"])) == [[], {"appid": other}, {}]
    assert made["headers"] == {"id": "i"}


@pytest.mark.parametrize("query", [b"access_token=token-of-wx1", b"a=b&access_token=token-of-wx1&c=d"])
def test_a_call_is_counted_for_the_appid_whose_token_signs_it(query: bytes) -> None:
    assert appid_in(query) == "wx1"


def test_a_quick_look_has_less_of_everything() -> None:
    for name, quick, full in zip(asdict(QUICK), astuple(QUICK), astuple(FULL), strict=True):
        assert quick <= full or quick[-1] <= full[-1], name


def test_each_figure_says_what_it_measures() -> None:
    for name, figure in FIGURES.items():
        assert (figure.run.__globals__["__doc__"] or "").startswith(f"``{name}``: ")
