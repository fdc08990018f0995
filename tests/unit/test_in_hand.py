"""The run of a task tells the flow of its message that its call goes out; in a child process it tells nobody."""

from __future__ import annotations

import pickle
from typing import Any

from worker.fetching.in_hand import InHand


def test_the_flow_is_told_which_message_goes_out_and_how_far_ahead_its_permit_lay() -> None:
    told: list[tuple[Any, float]] = []
    InHand(lambda tag, ahead: told.append((tag, ahead)), "tag").goes_out(0.25)
    assert told == [("tag", 0.25)]


def test_a_message_that_goes_to_a_child_process_tells_nobody_there() -> None:
    told: list[tuple[Any, float]] = []
    in_child = pickle.loads(pickle.dumps(InHand(lambda tag, ahead: told.append((tag, ahead)), "tag")))  # noqa: S301
    in_child.goes_out(0.25)
    assert told == []
