"""The closing of lanes by what the platform says: a quota is used up, or an appId is refused."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, cast

from config.lanes import LANES
from config.logs import Log
from store.quota.permits import CUT_SECONDS, STOP_SECONDS
from store.scripts import script
from wechat.errcodes import Meaning
from wxcheck import CheckRefused

if TYPE_CHECKING:
    from redis import Redis

    from config.lanes import Lane
    from store.places.shard import Shard
    from wechat.answers import Answer

log = Log(__name__)

_CLOSED_FOR = {Meaning.SNOOZE_SECOND: "second", Meaning.SNOOZE_MINUTE: "minute", Meaning.SNOOZE_DAY: "day"}


class Closings:
    """Closes lanes of one shard, for all processes."""

    def __init__(self, redis: Redis, shard: Shard) -> None:
        self._redis = redis
        self._shard = shard
        self._close = script(redis, "store/quota/close")
        self._count = script(redis, "store/quota/count")

    def close(self, appid: str, lane: Lane, said: Meaning, answer: Answer) -> None:
        """Close a lane because the platform says that a quota is used up. ``said``: one of the SNOOZE meanings."""
        till, cut = self._close(keys=[self._quota(appid, lane)], args=[_CLOSED_FOR[said], CUT_SECONDS])
        seconds = max(0.0, int(till) / 1e6 - time.time())
        log.warning(
            "lane_closed",
            f"{answer.errmsg}: closed for {seconds:.0f} s" + (f", then {10 * int(cut)} % slower" if cut else ""),
            appid=appid,
            lane=lane,
            errcode=answer.errcode,
            rid=answer.rid,
        )

    def stop(self, appid: str, answer: Answer) -> CheckRefused:
        """Stop every call for an appId for a while, and return the failure to raise."""
        refusal = json.dumps([answer.errcode, answer.errmsg, answer.rid])
        seconds, microseconds = self._redis.time()
        stopped = (seconds + STOP_SECONDS) * 1_000_000 + microseconds
        for lane in LANES:
            self._redis.hset(self._quota(appid, lane), mapping={"stopped": stopped, "refusal": refusal})
        log.error("appid_stopped", answer.errmsg, appid=appid, errcode=answer.errcode, rid=answer.rid)
        return CheckRefused(answer.errcode, answer.errmsg, answer.rid)

    def raise_refusal(self, appid: str, lane: Lane) -> None:
        """Raise CheckRefused if the platform has refused the appId a short while ago."""
        stopped, refusal = cast("list[str | None]", self._redis.hmget(self._quota(appid, lane), "stopped", "refusal"))
        if stopped and refusal and int(float(stopped)) > time.time() * 1e6:
            raise CheckRefused(*json.loads(refusal))

    def counted_today(self, appid: str, lane: Lane, told: int = -1) -> int:
        """Return the calls of a lane today, as counted here. ``told``: the platform's count, which holds if higher."""
        return int(self._count(keys=[self._quota(appid, lane)], args=[told]))

    def _quota(self, appid: str, lane: Lane) -> str:
        return self._shard.of_lane(lane, appid)[1]
