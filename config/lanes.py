"""The two lanes of an appId, its texts and its media, and the queues that hold their checks."""

from __future__ import annotations

from typing import Literal

from config.names import PUSH_QUEUE
from wxcheck import CHECK_MEDIA, CHECK_TEXT, MEDIA_QUEUE, TEXT_QUEUE

Lane = Literal["text", "media"]

LANES: tuple[Lane, ...] = ("text", "media")
#: the queue in which the checks of a lane wait, of all appIds
QUEUE_OF: dict[Lane, str] = {"text": TEXT_QUEUE, "media": MEDIA_QUEUE}
#: the lane that a task's checks go through
LANE_OF_TASK: dict[str, Lane] = {CHECK_TEXT: "text", CHECK_MEDIA: "media"}
#: every queue that a worker of this project serves, but for those of a single appId
QUEUES = (*QUEUE_OF.values(), PUSH_QUEUE)


def own_queue(queue: str, appid: str) -> str:
    """The name of an appId's own queue beside the ``queue`` that it shares with the others."""
    return f"{queue}.{appid}"


def shared_queue(name: str) -> str | None:
    """The shared queue that a queue is, or that an appId's own queue stands beside; None of a queue of others."""
    return next((queue for queue in QUEUES if name == queue or name.startswith(own_queue(queue, ""))), None)
