"""The cluster's numbers and lifetime totals as metric families of Prometheus. Pure.

Every label has bounded values (:mod:`status.labels`); names of hosts, workers and checks are no labels. Every endpoint
reports the same numbers: take ``max by (…)`` over endpoints, never a sum.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from config.lanes import LANES, QUEUES
from status.labels import LEVELS, MAX_TROUBLES, OTHER, PLACES, PROCESS_KINDS, STATES, WINDOWS, bound, known, number
from status.totals import Totals

Numbers = Mapping[str, Any]


def families(numbers: Numbers, totals: Mapping[str, int]) -> Iterator[Metric]:
    """Yield every family, in the order of the board.

    ``numbers``: from :mod:`status.numbers`; missing or null values are left out. With stale numbers, when the store is
    away, only the troubles are yielded. ``totals``: lifetime totals, ``name|label|…`` -> count.
    """
    yield from _troubles(numbers)
    if numbers.get("stale_seconds"):
        return
    lanes = {
        (str(lane["appid"]), str(lane["lane"])): lane for lane in numbers.get("lanes", ()) if lane["lane"] in LANES
    }
    appids = sorted({appid for appid, _ in lanes})
    waiting = numbers.get("waiting") or {}
    delays = (waiting.get("delay") or {}).get("buckets") or ()
    counted = Totals(totals)

    yield from _queues(numbers.get("queues", ()))
    yield from _processes(numbers.get("processes", ()))
    yield from _quotas(lanes)
    yield counted.calls(appids)
    places = numbers.get("places") or {}
    yield _gauge(
        "wxcheck_place_checks",
        "Checks by the place in which they are; the inbox holds pushes, too",
        ["place"],
        [((place,), places.get(place)) for place in PLACES],
    )
    yield _gauge(
        "wxcheck_waiting_oldest_seconds",
        "How long the oldest of the checks that wait for their push has waited; 0 where none waits",
        {},
        [((), waiting.get("oldest_seconds") or 0)] if waiting else [],
    )
    yield counted.push_results()
    yield counted.unreadable()
    yield counted.push_delay([upper for bucket in delays if (upper := bound(bucket[0])) is not None])
    yield counted.push_requests()
    yield counted.verdicts()
    yield counted.failures()
    said = "Failed checks that are kept to be replayed"
    yield _gauge("wxcheck_dead_letters", said, {}, [((), numbers.get("dead"))])


def _troubles(numbers: Numbers) -> Iterator[Metric]:
    told: dict[str, str] = {}
    for trouble in numbers.get("troubles", ()):
        key, level = str(trouble.get("key")), trouble.get("level")
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", key) or (key not in told and len(told) >= MAX_TROUBLES):
            key = OTHER
        told.setdefault(key, level if level in LEVELS else "bad")  # the worst come first
    each = [((key, level), 1) for key, level in told.items()]
    yield _gauge("wxcheck_trouble", "1 for each thing that is wrong now", ["trouble", "level"], each)
    count = [((level,), sum(level == one for one in told.values())) for level in LEVELS]
    yield _gauge("wxcheck_troubles", "How many things are wrong now", ["level"], count)


def _queues(queues: Iterable[Numbers]) -> Iterator[Metric]:
    messages: dict[str, float] = {}
    workers: dict[str, float] = {}
    for queue in queues:
        name = known(queue["name"], QUEUES)
        if (found := number(queue.get("messages"))) is not None:
            messages[name] = messages.get(name, 0) + found
        if (found := number(queue.get("workers"))) is not None:
            workers[name] = min(found, workers.get(name, math.inf))
    for metric, said, by_name in (
        ("wxcheck_queue_messages", "Messages that wait in a queue", messages),
        ("wxcheck_queue_workers", "Workers that consume a queue", workers),
    ):
        yield _gauge(metric, said, ["queue"], [((name,), found) for name, found in by_name.items()])


def _processes(processes: Iterable[Numbers]) -> Iterator[Metric]:
    by_kind: dict[str, list[Numbers]] = {kind: [] for kind in PROCESS_KINDS}
    for process in processes:
        by_kind.setdefault(known(process.get("kind"), PROCESS_KINDS), []).append(process)
    count = [((kind,), len(found)) for kind, found in by_kind.items()]
    yield _gauge("wxcheck_processes", "Processes whose heartbeat is heard", ["kind"], count)
    for name, key, said in (
        ("wxcheck_heartbeat_age_seconds", "age_seconds", "Age of the last heartbeat of the process whose is oldest"),
        (
            "wxcheck_clock_offset_seconds",
            "clock_offset_seconds",
            "How far the clock that is most off is ahead of Redis'",
        ),
    ):
        worst = []
        for kind, found in by_kind.items():
            values = [value for process in found if (value := number(process.get(key))) is not None]
            if values:
                worst.append(((kind,), max(values, key=abs)))
        yield _gauge(name, said, ["kind"], worst)


def _quotas(lanes: Mapping[tuple[str, str], Numbers]) -> Iterator[Metric]:
    for name, key, said in (
        ("wxcheck_quota_used_calls", "used", "Calls that count against the quota now"),
        ("wxcheck_quota_limit_calls", "limit", "Calls that the quota allows"),
    ):
        calls = [
            ((*ids, window), (lane.get(window) or {}).get(key)) for ids, lane in lanes.items() for window in WINDOWS
        ]
        yield _gauge(name, said, ["appid", "lane", "window"], calls)
    states = [((*ids, state), int(lane.get("state") == state)) for ids, lane in lanes.items() for state in STATES]
    yield _gauge("wxcheck_lane_state", "1 for the state that a lane is in", ["appid", "lane", "state"], states)
    for name, key, said in (
        ("wxcheck_lane_opens_timestamp_seconds", "opens_at", "When a closed lane opens, since the epoch, Redis' clock"),
        ("wxcheck_lane_backlog_checks", "backlog", "Checks that wait for a lane's permits"),
        ("wxcheck_lane_backlog_seconds", "backlog_seconds", "How long a lane's backlog will take"),
    ):
        yield _gauge(name, said, ["appid", "lane"], [(ids, lane.get(key)) for ids, lane in lanes.items()])


def _gauge(name: str, said: str, labels: Iterable[str], samples: Iterable[tuple[Sequence[str], Any]]) -> Metric:
    """Return a gauge; samples whose value is no number are left out."""
    family = GaugeMetricFamily(name, said, labels=list(labels))
    for values, value in samples:
        if (found := number(value)) is not None:
            family.add_metric(values, found)
    return family
