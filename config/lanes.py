"""The two lanes of an appId, its texts and its media, and the queues by which their checks come in."""

from __future__ import annotations

from typing import Literal

from config.names import PUSH_QUEUE
from wxcheck import CHECK_MEDIA, CHECK_TEXT, MEDIA_QUEUE, TEXT_QUEUE

Lane = Literal["text", "media"]

LANES: tuple[Lane, ...] = ("text", "media")
#: the queue by which a lane's checks of all appIds come in
QUEUE_OF: dict[Lane, str] = {"text": TEXT_QUEUE, "media": MEDIA_QUEUE}
#: the lane of each task's checks
LANE_OF_TASK: dict[str, Lane] = {CHECK_TEXT: "text", CHECK_MEDIA: "media"}
#: the queue whose workers tell a check its end: the lane's, or that of pushes once it was parked
READY_OF: dict[Literal["text", "media", "push"], str] = {"text": TEXT_QUEUE, "media": MEDIA_QUEUE, "push": PUSH_QUEUE}
#: every queue that the workers serve
QUEUES = tuple(READY_OF.values())
