"""``tight``: four workers with 256 descriptors each, a Redis with 200 clients, 1,000 appIds.

First a burst: a check of each appId, all sent at once. Then all lanes wait: each for its minute's quota, until the rate
is raised before the minute is over (``celery control rate_limit``); and, in a system of its own, for the day's quota,
until the day ends: the clock of scripts and workers is put forward to some seconds before midnight. From the raise, and
from midnight, to the first call, and to that of the last of the lanes.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from bench.holding.system import ONE_A_DAY, WAIT, appids, held, put_each
from bench.overhead.outcome import Measured, Row, Target
from bench.overhead.side import ALL, LIFTED, Side
from config.days import DAY, seconds_of_day

if TYPE_CHECKING:
    from bench.holding.scale import Scale
    from bench.overhead.side import Options

WORKERS, DESCRIPTORS, CLIENTS = 4, 256, 200
#: calls a minute of each appId
PER_MINUTE = 1
#: the rate that is set then
RAISED = "4000/m"
#: most seconds for which the workers are watched: the rate is raised within the minute
WATCHED = 15.0
CLOCK_KEY = "bench:clock"
#: seconds before midnight to which the clock is put. A lane counts time from then on, and calls that may have arrived
#: after midnight count for the new day, too
AHEAD = 12.0
#: seconds of a call. One without an answer would be its lane's only call of the day
TIMEOUT = 5
OPENS = Target("at most", 2, of_value=True)


def run(scale: Scale, options: Options) -> Measured:
    """The minute, then the day."""
    return Measured([*_by_rate(scale, options), *_by_day(scale, options)])


def _by_rate(scale: Scale, options: Options) -> list[Row]:
    names = appids(scale.tight)
    minute = {**LIFTED, "WXCHECK_TEXT_PER_MINUTE": str(PER_MINUTE)}
    with _tight(options, names, minute) as side:
        of = [side.text.of(appid) for appid in names]
        put_each(side, of, PER_MINUTE)
        side.await_count("the burst", lambda: side.counts()["text"], PER_MINUTE * len(names), 180)
        put_each(side, of, WAIT)
        time.sleep(2)
        found = held(side, side.workers[0], min(scale.watched, WATCHED), WORKERS)
        before = side.counts()["text"]
        began = time.time()
        side.call(
            [sys.executable, "-m", "celery", "-A", "worker", "control", "rate_limit", "wxcheck.check_text", RAISED]
        )
        first, last = _opened(side, before, len(names))
        in_all = int(side.redis.info("clients")["connected_clients"])
    title = (
        f"{WORKERS} workers, {DESCRIPTORS} descriptors each, {CLIENTS} clients, {scale.tight:,} appIds after a burst"
    )
    return [
        Row("tight", f"{title}: descriptors of a worker", "", [found.descriptors]),
        Row("tight", f"{title}: Redis clients of all", "", [in_all]),
        Row("tight", f"{title}: from a raised rate to the first call", "s", [first - began], target=OPENS),
        Row("tight", f"{title}: to the first call of the last lane", "s", [last - began]),
    ]


def _by_day(scale: Scale, options: Options) -> list[Row]:
    names = appids(scale.tight)
    with _tight(
        options, names, {**ONE_A_DAY, "WXCHECK_API_TIMEOUT": str(TIMEOUT), "BENCH_CLOCK_KEY": CLOCK_KEY}
    ) as side:
        put_each(side, [side.text.of(appid) for appid in names], 1 + WAIT)
        side.await_count("first calls", lambda: side.counts()["text"], len(names), 180)
        now = time.time()
        side.redis.set(CLOCK_KEY, int((DAY - seconds_of_day(now) - AHEAD) * 1e6))
        side.tell_platform("set", new_day=True)
        midnight = now + AHEAD
        first, last = _opened(side, len(names), len(names))
    title = f"the same, {scale.tight:,} lanes whose day's quota is gone"
    return [
        Row("tight", f"{title}: from the day's end to the first call", "s", [first - midnight], target=OPENS),
        Row("tight", f"{title}: to the call of the last lane", "s", [last - midnight]),
    ]


def _tight(options: Options, names: list[str], settings: dict[str, str]) -> Side:
    return Side(
        "wxcheck",
        options,
        workers=[ALL["wxcheck"]] * WORKERS,
        settings=settings,
        appids=names,
        descriptors=DESCRIPTORS,
        clients=CLIENTS,
    )


def _opened(side: Side, before: int, lanes: int) -> tuple[float, float]:
    """When the first call came, and when each lane had sent one more, in seconds since the epoch."""
    side.wait("calls go out", lambda: side.counts()["text"] >= before + lanes, 120)
    since = side.text_times()[before]
    nexts = [next((at for at in times if at >= since), 0.0) for times in side.arrivals().values()]
    return since, max(nexts)
