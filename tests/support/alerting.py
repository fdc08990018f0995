"""A cluster that is well, and for each alert of ``deploy/prometheus/alerts.yml`` what makes it fire."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest
import yaml

from tests.support.processes import ROOT
from wechat.push.outcomes import Outcome

DEPLOY = ROOT / "deploy" / "prometheus"
RULES: dict[str, Any] = yaml.safe_load((DEPLOY / "alerts.yml").read_text(encoding="utf-8"))
#: what each has: alert, expr, perhaps for, labels, annotations
ALERTS: list[dict[str, Any]] = [rule for group in RULES["groups"] for rule in group["rules"]]

APPID, OTHER_APPID = "wx0123456789abcdef", "wxfedcba9876543210"
Numbers: TypeAlias = dict[str, Any]

_SAID = {"en": "…", "zh": "…"}


def healthy() -> Numbers:
    """The numbers of a cluster that is well."""
    bounds = [0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1200, 1800, None]
    return {
        "at": 1764158400.0,
        "version": "0.1.0",
        "stale_seconds": 0,
        "troubles": [],
        "lanes": [
            {
                "appid": appid,
                "lane": lane,
                "minute": {"used": 12, "limit": per_minute},
                "day": {"used": 345, "limit": per_day},
                "state": "open",
                "why": None,
                "opens_at": None,
                "backlog": 17,
                "backlog_seconds": 3.0,
                "hour": [],
            }
            for appid in (APPID, OTHER_APPID)
            for lane, per_minute, per_day in (("text", 4000, 2_000_000), ("media", 2000, 200_000))
        ],
        "queues": [
            {"name": f"wxcheck.{name}", "messages": 7, "ready": 0, "workers": 2} for name in ("text", "media", "push")
        ],
        "waiting": {
            "count": 3,
            "oldest_seconds": 12.5,
            "delay": {"count": 10, "p50": 1.2, "p95": 2.0, "p99": 3.0, "buckets": [[bound, 0] for bound in bounds]},
        },
        "verdicts": [],
        "failures": {"classes": [], "newest": []},
        "processes": [
            {"name": f"{kind}@host-{number}", "kind": kind, "age_seconds": 1.0, "clock_offset_seconds": 0.01 * number}
            for kind in ("worker", "endpoint", "board")
            for number in (1, 2)
        ],
        "places": {"inbox": 21, "lanes": 68, "shelf": 4, "in_hand": 5, "parked": 3, "ready": 1, "outbox": 0},
        "dead": 0,
    }


#: what such a cluster counts in a minute
HEALTHY_RATES: dict[str, float] = {
    f"calls|{APPID}|text|sent": 200,
    f"calls|{APPID}|text|given_back": 3,
    f"calls|{APPID}|text|retried": 2,
    f"calls|{APPID}|media|sent": 60,
    "verdict|text|pass|100": 190,
    "verdict|text|risky|20001": 8,
    "verdict|image|pass|100": 55,
    "push|matched": 58,
    "push|early": 2,
    "delay|1": 20,
    "delay|5": 40,
    "delay_sum": 140_000,
    "request|queued": 60,
    "failed|CheckRefused|61010": 1,
}


@dataclass
class Fault:
    """A fault, and the alert that tells it.

    ``change`` makes healthy numbers faulty. ``rates``: of totals, a minute, where they are not the healthy ones.
    ``requests``: to each endpoint, a minute.
    """

    alert: str
    change: Callable[[Numbers], object] = id
    rates: Mapping[str, float] = field(default_factory=dict)
    requests: Mapping[Outcome, float] = field(default_factory=dict)
    store_up: bool = True
    up: bool = True

    def numbers(self) -> Numbers:
        numbers = healthy()
        self.change(numbers)
        return numbers


def _trouble(key: str, level: str) -> Callable[[Numbers], None]:
    trouble = {"key": key, "level": level, "said": _SAID, "remedy": _SAID}
    return lambda numbers: numbers["troubles"].append(trouble)


def _lane(index: int, **changed: Any) -> Callable[[Numbers], None]:
    return lambda numbers: numbers["lanes"][index].update(changed)


def _queue(index: int, **changed: Any) -> Callable[[Numbers], None]:
    return lambda numbers: numbers["queues"][index].update(changed)


FAULTS = [
    Fault("WxcheckEndpointDown", up=False),
    Fault("WxcheckStoreAway", store_up=False),
    Fault("WxcheckNoWorker", _queue(2, workers=0)),
    Fault("WxcheckNoVerdicts", rates={name: 0 for name in HEALTHY_RATES if name.startswith("verdict")}),
    Fault("WxcheckRedisUnsafe", _trouble("redis_unsafe", "bad")),
    Fault("WxcheckTrouble", _trouble("broker_away", "bad")),
    Fault("WxcheckTrouble", _trouble("versions_differ", "warn")),
    *(
        Fault("WxcheckStuck", _trouble(f"{what}_stuck", "bad"))
        for what in ("inbox", "lane", "ready", "due", "outbox", "ends")
    ),
    # behind: the sign does not matter
    Fault("WxcheckClockOffset", lambda numbers: numbers["processes"][0].update(clock_offset_seconds=-3600.0)),
    Fault("WxcheckLaneClosed", _lane(0, state="closed", opens_at=1764158460.0)),
    Fault("WxcheckDayQuotaNearlyGone", _lane(1, day={"used": 190_000, "limit": 200_000})),
    Fault("WxcheckDayQuotaSpent", _lane(2, state="spent")),
    Fault("WxcheckBacklogLong", _lane(1, backlog=100_000, backlog_seconds=5000.0)),
    Fault("WxcheckOldestWaiting", lambda numbers: numbers["waiting"].update(oldest_seconds=1000.0)),
    Fault("WxcheckQueueNotDrained", _queue(0, messages=500)),
    Fault("WxcheckPushDelay", rates={"delay|1": 0, "delay|5": 0, "delay|1200": 50, "delay_sum": 45_000_000}),
    Fault("WxcheckPushesMissing", rates={"push|missing": 2}),
    Fault("WxcheckAppidStopped", _lane(3, state="stopped")),
    Fault("WxcheckRefusals", rates={f"calls|{APPID}|text|refused": 40}),
    Fault("WxcheckPlatformFailing", rates={"failed|PlatformUnavailable|-1": 2}),
    Fault("WxcheckPlatformFailing", rates={f"calls|{APPID}|text|retried": 90}),
    Fault("WxcheckForgedPushes", requests={Outcome.BAD_SIGNATURE: 3}),
    Fault("WxcheckPushesNotQueued", requests={Outcome.BROKER_UNAVAILABLE: 1}),
    Fault("WxcheckDeadLetters", lambda numbers: numbers.update(dead=3)),
]


def _busy(numbers: Numbers) -> None:
    numbers["lanes"][0].update(state="slowed", backlog_seconds=2000.0, day={"used": 1_700_000, "limit": 2_000_000})
    numbers["waiting"].update(oldest_seconds=500.0)
    numbers["queues"][0].update(messages=90)
    numbers["processes"][0].update(clock_offset_seconds=1.0)


#: much to do, and what goes wrong now and then: it is to wake nobody, told by two endpoints though it is
BUSY = Fault(
    "none",
    _busy,
    rates={
        f"calls|{APPID}|text|refused": 15,
        f"calls|{APPID}|text|retried": 30,
        f"calls|{APPID}|media|refused": 0.4,
        "push|missing": 0.15,
        "failed|PlatformUnavailable|-1": 0.2,
        "delay|300": 1,
    },
    requests={Outcome.BAD_SIGNATURE: 0.4, Outcome.QUEUED: 30},
)


def program(name: str) -> str:
    """The path of a program of Debian's package ``prometheus``; without it the test is skipped, or fails where
    ``TESTS_COMPLETE=1`` says that every test must run."""
    path = shutil.which(name)
    if path is None:
        said = f"{name} is not installed: apt-get install prometheus"
        if os.environ.get("TESTS_COMPLETE") == "1":
            pytest.fail(said)
        pytest.skip(said)
    return path
