"""A lane's checks wait in a queue that all appIds share, or in one of their own."""

from __future__ import annotations

import pytest

from config.lanes import LANE_OF_TASK, LANES, QUEUE_OF, QUEUES, own_queue, shared_queue


def test_each_lane_has_one_queue_and_one_task() -> None:
    assert set(QUEUE_OF) == set(LANES)
    assert sorted(LANE_OF_TASK.values()) == sorted(LANES)
    assert set(QUEUE_OF.values()) < set(QUEUES)


@pytest.mark.parametrize("queue", QUEUES)
def test_an_appids_own_queue_belongs_to_the_one_that_it_shares(queue: str) -> None:
    assert shared_queue(queue) == queue
    assert shared_queue(own_queue(queue, "wx0123456789abcdef")) == queue


@pytest.mark.parametrize("name", ["celery", "wxcheck", "wxcheck.texts", "shop.wxcheck.text", "WXCHECK.TEXT"])
def test_a_queue_of_others_belongs_to_none(name: str) -> None:
    assert shared_queue(name) is None
