"""``revoked``: 50,000 task ids are revoked at once (``control.revoke``) while their checks wait in a closed lane.

How much later than its interval the sweeper touches the heartbeat file, at worst, until all of the checks have ended.
"""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING

from celery import Celery

from bench.holding.system import fill, waiting
from bench.overhead.outcome import Measured, Row, Target
from bench.overhead.side import Side
from bench.servers import APPID
from store.places.shard import SHARD

if TYPE_CHECKING:
    from bench.holding.scale import Scale
    from bench.overhead.side import Options

#: seconds between two beats (:mod:`worker.sweeper`)
BEAT = 1.0
#: seconds in all, and between two looks
LONGEST, LOOK = 600.0, 0.02


def run(scale: Scale, options: Options) -> Measured:
    """Fills a lane, revokes all that waits, and watches the file."""
    settings = {"WXCHECK_TEXT_PER_DAY": "1", "WXCHECK_HEARTBEAT_FILE": "heartbeat"}
    with Side("wxcheck", options, settings=settings) as side:
        side.put(side.text, 2)
        side.wait("the lane is closed", lambda: waiting(side, APPID) == 1)
        fill(side, side.text, APPID, scale.revoked - 2)
        ids = side.redis.zrange(SHARD.of_lane("text", APPID)[0], 0, -1)
        app = Celery("bench-client", broker=side.url, backend=side.url, set_as_current=False)
        began = time.monotonic()
        app.control.revoke(ids)
        app.close()
        file, beats = side.directory / "heartbeat", []
        while waiting(side, APPID) or side.redis.zcard(SHARD.key("ready:text")) or side.redis.zcard(SHARD.key("hand")):
            beats.append(file.stat().st_mtime)
            side.check()
            if time.monotonic() - began > LONGEST:
                raise ValueError(f"revoked: not all of {len(ids)} have ended within {LONGEST:.0f} s")
            time.sleep(LOOK)
        seconds = time.monotonic() - began
        beats.append(time.time())
    distinct = sorted(set(beats))
    late = max(after - before for before, after in pairwise(distinct)) - BEAT
    title = f"{len(ids):,} task ids are revoked at once"
    return Measured(
        [
            Row(
                "revoked",
                f"{title}: the sweeper's beat is late by",
                "s",
                [late],
                target=Target("at most", 2, of_value=True),
            ),
            Row("revoked", f"{title}: all have ended", "s", [seconds]),
        ]
    )
