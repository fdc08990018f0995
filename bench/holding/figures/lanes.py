"""``lanes``: 100 appIds that all have a backlog, each with a fiftieth of the platform's quota, four workers.

80 calls a minute each; the stand-in answers in 0.2 s, so that a closed pool of permits can use 60 / (60 + 0.2 + 0.05)
of it (99.6 %). Use: of the lane that uses least, by its first and last arrival in the time measured, which begins a
window and a time-out after the first call. Most: in any 60 s, wherever they begin, of any lane, over the whole run.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from typing import TYPE_CHECKING

from bench.holding.system import appids, put_each
from bench.overhead.outcome import Measured, Row, Target
from bench.overhead.side import ALL, LIFTED, Side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.holding.scale import Scale
    from bench.overhead.side import Options

WORKERS = 4
#: calls a minute: the platform's 4,000 by 50
A_MINUTE = 80
#: seconds that an answer takes, as a share of the window; and the time-out of a call
ANSWER, TIMEOUT = 1 / 300, 2
USE = Target("at least", 0.985, of_value=True)


def run(scale: Scale, options: Options) -> Measured:
    """Puts a backlog that outlasts the run, and counts what arrives."""
    names, window = appids(scale.lanes), scale.window
    settings = {**LIFTED, "WXCHECK_TEXT_PER_MINUTE": str(A_MINUTE), "WXCHECK_API_TIMEOUT": str(TIMEOUT)}
    if window != 60:
        settings["BENCH_WINDOW"] = f"{window:g}"
    warm_up = window + TIMEOUT
    backlog = round((warm_up + scale.measured) / 60 * A_MINUTE) + A_MINUTE
    with Side("wxcheck", options, workers=[ALL["wxcheck"]] * WORKERS, settings=settings, appids=names) as side:
        side.tell_platform("set", answer_after=ANSWER * window)
        put_each(side, [side.text.of(appid) for appid in names], backlog)
        side.wait("calls go out", lambda: side.counts()["text"] > 0)
        time.sleep(warm_up + scale.measured)
        arrivals = side.arrivals()
    if len(arrivals) < len(names):
        raise ValueError(f"lanes: {len(arrivals)} of {len(names)} appIds have sent anything")
    since = min(times[0] for times in arrivals.values()) + warm_up
    uses = [use(times, since, since + scale.measured) for times in arrivals.values()]
    most = max(most_in_window(times, window) for times in arrivals.values())
    quota = Target("at most", round(A_MINUTE * window / 60), of_value=True)
    title = f"{scale.lanes} appIds with a backlog, {A_MINUTE} a minute each, {WORKERS} workers"
    return Measured(
        [
            Row("lanes", f"{title}: use of the least", "", [min(uses)], target=USE),
            Row("lanes", f"{title}: use of all", "", [sum(uses) / len(uses)]),
            Row("lanes", f"{title}: most in any {window:g} s", "", [most], target=quota),
        ],
        {"uses": uses},
    )


def use(times: Sequence[float], begin: float, end: float) -> float:
    """The share of the quota that arrived between two times, from the first arrival to the last."""
    within = times[bisect_left(times, begin) : bisect_left(times, end)]
    return (len(within) - 1) / (within[-1] - within[0]) * 60 / A_MINUTE


def most_in_window(times: Sequence[float], seconds: float) -> int:
    """The most of ascending ``times`` in any so many seconds."""
    return max(bisect_left(times, at + seconds) - number for number, at in enumerate(times))
