"""What the platform says about its quotas outranks everything: a lane that it closed stays closed until it opens.

A *lane* is one appId's texts, or its media. A check that meets a closed lane goes to the shelf (:mod:`worker.shelf`).
"""

from __future__ import annotations

import json
import logging
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from worker import keys
from worker.errcodes import Meaning
from wxcheck import CheckRefused

if TYPE_CHECKING:
    from redis import Redis

    from worker.answers import Answer
    from worker.checks import Lane

logger = logging.getLogger(__name__)

#: WeChat's minutes and days are those of Shanghai
PLATFORM_TIME = ZoneInfo("Asia/Shanghai")

#: seconds after the turn of a minute or day, for its clock and ours differ
CLOCK_MARGIN = 0.5
#: seconds for which an appId that the platform refuses altogether is not called again
STOP_SECONDS = 10


class Snooze(Exception):
    """The quota is used up until ``until`` (seconds since the epoch): come back then, with no attempt lost."""

    def __init__(self, until: float) -> None:
        super().__init__(until)
        self.until = until


def opens_at(held: Meaning, now: float) -> float:
    """When a lane that was closed at ``now`` opens again; both in seconds since the epoch. Pure."""
    if held is Meaning.SNOOZE_SECOND:
        return now + 1
    if held is Meaning.SNOOZE_MINUTE:
        return (now // 60 + 1) * 60 + CLOCK_MARGIN
    today = datetime.fromtimestamp(now, PLATFORM_TIME).replace(hour=0, minute=0, second=0, microsecond=0)
    return (today + timedelta(days=1)).timestamp() + CLOCK_MARGIN


class Lanes:
    """Knows which lanes are closed, and which appIds are refused altogether."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def enter(self, appid: str, lane: Lane) -> None:
        """Lets a check pass that may be sent now.

        Raises:
            Snooze: the lane is closed.
            CheckRefused: the platform refuses this appId altogether.
        """
        until, stopped = self._redis.mget(keys.hold(appid, lane), keys.stopped(appid))
        if stopped:
            raise CheckRefused(*json.loads(stopped))
        if until and float(until) > time.time():
            raise Snooze(float(until))

    def hold(self, appid: str, lane: Lane, held: Meaning, answer: Answer) -> Snooze:
        """Closes a lane, as the platform's ``answer`` asks for; the Snooze to raise."""
        until = opens_at(held, time.time())
        seconds = until - time.time()
        self._redis.set(keys.hold(appid, lane), f"{until:.3f}", px=max(1, int(seconds * 1000)))
        logger.warning(
            "lane_held appid=%s lane=%s errcode=%d rid=%s: closed for %.0f s",
            appid,
            lane,
            answer.errcode,
            answer.rid,
            seconds,
        )
        return Snooze(until)

    def stop(self, appid: str, answer: Answer) -> CheckRefused:
        """Stops every call for an appId for a while; the failure to raise."""
        refusal = [answer.errcode, answer.errmsg, answer.rid]
        self._redis.set(keys.stopped(appid), json.dumps(refusal), ex=STOP_SECONDS)
        logger.error("appid_stopped appid=%s errcode=%d errmsg=%s", appid, answer.errcode, answer.errmsg)
        return CheckRefused(answer.errcode, answer.errmsg, answer.rid)
