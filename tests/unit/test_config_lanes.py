"""A lane's checks come in by a queue that all appIds share."""

from __future__ import annotations

from config.lanes import LANE_OF_TASK, LANES, QUEUE_OF, QUEUES


def test_each_lane_has_one_queue_and_one_task() -> None:
    assert set(QUEUE_OF) == set(LANES)
    assert sorted(LANE_OF_TASK.values()) == sorted(LANES)
    assert set(QUEUE_OF.values()) < set(QUEUES)
