"""The word of a stand-in platform that nothing was sent to it lately."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from config.lanes import LANES
from store.connection import run_id
from store.places.shard import SHARD

if TYPE_CHECKING:
    from redis import Redis


def vouch(client: Redis, appid: str) -> None:
    """Vouch that nothing was sent for ``appid`` lately, so that its lanes need no pause; the lanes forget all permits.

    Only for a stand-in platform that has just been made, before any worker runs.
    """
    run = run_id(client) or ""
    known = SHARD.key("known")
    if client.hget(known, "run") not in (run, run.encode()):
        client.delete(known)
        client.hset(known, mapping={"run": run, "since": int(time.time() * 1e6)})
    for lane in LANES:
        _, quota, ring, *_ = SHARD.of_lane(lane, appid)
        client.delete(quota, ring)
        client.hset(known, f"{appid}:{lane}", "vouched")
