"""The two lanes of an appId, its texts and its media, and the queues that hold their checks."""

from __future__ import annotations

from typing import Literal

from config.names import PUSH_QUEUE
from wxcheck import CHECK_MEDIA, CHECK_TEXT, MEDIA_QUEUE, TEXT_QUEUE

Lane = Literal["text", "media"]

LANES: tuple[Lane, ...] = ("text", "media")
#: the queue in which a lane's checks of all appIds wait
QUEUE_OF: dict[Lane, str] = {"text": TEXT_QUEUE, "media": MEDIA_QUEUE}
#: the lane of each task's checks
LANE_OF_TASK: dict[str, Lane] = {CHECK_TEXT: "text", CHECK_MEDIA: "media"}
#: every queue that the workers serve, except the queues of a single appId
QUEUES = (*QUEUE_OF.values(), PUSH_QUEUE)


def own_queue(queue: str, appid: str) -> str:
    """Return the name of the queue that an appId has for itself, beside the shared ``queue``."""
    return f"{queue}.{appid}"


def shared_queue(name: str) -> str | None:
    """Return the shared queue that ``name`` is, or stands beside as an appId's own; None for a queue of others."""
    return next((queue for queue in QUEUES if name == queue or name.startswith(own_queue(queue, ""))), None)
