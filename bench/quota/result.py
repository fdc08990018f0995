"""What is told of a run, computed from its arrivals and from two looks at its servers. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bench.quota.arrivals import Arrivals
from bench.quota.windows import (
    SECOND,
    Span,
    arrivals_within,
    bound_of_use,
    longest_gap,
    most_in_any_minute,
    most_in_any_window,
    use_of_quota,
)
from bench.redis_load import Load
from config.lanes import Lane


@dataclass(frozen=True)
class Look:
    """Counts of the workers and the servers at one moment of a run."""

    store: Load
    #: None where the store is the broker too
    broker: Load | None
    #: seconds
    cpu: float
    recorder_cpu: float
    #: calls of wxcheck's scripts, by name
    scripts: dict[str, int]


@dataclass(frozen=True)
class Costs:
    """What a check cost, while the steady state lasted. None: it can't be told in this run."""

    checks: int
    #: of the limiter's scripts
    calls: float | None
    #: Redis commands, those within scripts included: of the limiter's own Redis, and of this and the broker
    limiter_commands: float | None
    commands: float | None
    #: CPU of the workers, milliseconds
    cpu_ms: float
    #: CPU of the Redis that the limiter is in, microseconds
    redis_us: float
    #: share of a core that the recording server took
    recorder: float
    #: bytes of the limiter's keys at the end
    state: int


@dataclass(frozen=True)
class Row:
    """One lane of one run. Shares are of 1, times in seconds."""

    contender: str
    lane: Lane
    model: str
    fault: str | None
    quota: int
    window: float
    use: float
    bound: float
    most_in_window: int
    most_in_minute: int
    #: of the calls in the steady state
    mean_answer: float
    #: the longest time without a call in the steady state
    longest_gap: float
    #: of it, what is taken out of the time that the use is of
    pause: float
    #: from the start of the workers to the first call
    first_after: float
    costs: Costs

    @property
    def over(self) -> bool:
        """Whether there was a window with more calls than the quota."""
        return self.most_in_window > self.quota

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "over": self.over}


def costs_of(before: Look, after: Look, checks: int, seconds: float, state: int, limiter: str | None) -> Costs:
    """Costs between two looks, ``seconds`` apart, in which ``checks`` arrived.

    ``limiter``: how the names of the limiter's scripts begin, where its processes count them.
    """
    each = 1 / checks if checks else 0.0
    store = after.store.since(before.store)
    apart = after.broker is not None and before.broker is not None
    scripts = {name: number - before.scripts.get(name, 0) for name, number in after.scripts.items()}
    calls: float | None
    if limiter is not None:
        calls = sum(number for name, number in scripts.items() if name.startswith(limiter)) * each
    else:
        calls = store.script_calls * each if apart else None
    total = store.total
    if after.broker is not None and before.broker is not None:
        total += after.broker.since(before.broker).total
    return Costs(
        checks=checks,
        calls=calls,
        limiter_commands=store.total * each if apart else None,
        # a server that was started anew has begun to count anew
        commands=total * each if store.total > 0 else None,
        cpu_ms=(after.cpu - before.cpu) * 1e3 * each,
        redis_us=store.cpu * 1e6 * each,
        recorder=(after.recorder_cpu - before.recorder_cpu) / seconds,
        state=state,
    )


def row_of(
    arrivals: Arrivals,
    span: Span,
    *,
    contender: str,
    lane: Lane,
    model: str,
    fault: str | None,
    pauses: bool,
    quota: int,
    window: float,
    started: int,
    costs: Costs,
) -> Row:
    """The row of one lane. ``span``: the steady state; the most arrivals are of the whole run, warm-up included."""
    window_ns = round(window * SECOND)
    gap = longest_gap(arrivals.times, span)
    pause = gap if pauses else 0
    # a run without any steady call at all has paused for all of it, and used nothing
    use = use_of_quota(arrivals.times, span, quota, window_ns, pause) if arrivals_within(arrivals.times, span) else 0.0
    mean = arrivals.mean_answer(span)
    return Row(
        contender=contender,
        lane=lane,
        model=model,
        fault=fault,
        quota=quota,
        window=window,
        use=use,
        bound=bound_of_use(window, mean),
        most_in_window=most_in_any_window(arrivals.times, window_ns),
        most_in_minute=most_in_any_minute(arrivals.wall_times, window_ns),
        mean_answer=mean,
        longest_gap=gap / SECOND,
        pause=pause / SECOND,
        first_after=(arrivals.times[0] - started) / SECOND if arrivals.times else float("inf"),
        costs=costs,
    )
