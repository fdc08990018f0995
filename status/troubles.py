"""Faults and doubts, found in the numbers: each trouble with its remedy, the worst first. Pure.

A trouble that explains others comes before them. A mended trouble disappears as soon as something newer proves the
mend: a call that went out after the refusal, a push that was taken after the forged one.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from config.days import SHANGHAI_ZONE
from config.lanes import LANES, QUEUE_OF
from status import remedies
from status.endpoint_troubles import refused_pushes, silent_pushes
from status.follow_ups import follow_up_troubles
from status.message_troubles import unreadable_messages
from status.remedies import Said, stops
from status.spans import span
from status.stuck_troubles import stuck_troubles
from store.watch.servers import Server, differing

if TYPE_CHECKING:
    from collections.abc import Iterator

#: seconds that a process' clock may be off: a doubt, and a fault; from 600 on the endpoint refuses pushes
CLOCK_DOUBT, CLOCK_FAULT = 5, 60
#: seconds for which an unmended trouble is shown
RECENT = 3600
#: the platform is away from so many unanswered calls in the last minutes, and from such a share of all calls
AWAY_MINUTES, AWAY_CALLS, AWAY_SHARE = 3, 3, 0.5
#: seconds for which a call may be under way
CALL = 15
#: seconds of a backlog that is long
LONG_BACKLOG = 600

Trouble = dict[str, Any]


class Evidence(NamedTuple):
    """Facts beside the numbers."""

    #: field of :mod:`store.watch.statistics` -> time of its last count, in seconds since the epoch
    latest: dict[str, float]
    #: minute -> its counts, the oldest first
    minutes: dict[int, Counter[str]]
    #: faults of Redis, each with its remedy
    redis_faults: list[str]
    #: the reason for the broker's silence or refusal
    broker_fault: str | None
    #: the remedy for a broker that answers and refuses
    broker_remedy: str | None = None


def find_troubles(numbers: dict[str, Any], evidence: Evidence) -> list[Trouble]:
    """Return all troubles: ``key``, ``level`` (bad or warn), ``said`` and ``remedy`` in English and Chinese."""
    found = [
        *_broker(evidence),
        *_clocks(numbers),
        *_refused_appids(numbers, evidence),
        *_platform(numbers, evidence),
        *_servers(numbers),
        *_workers(numbers),
        *_endpoint(numbers),
        *refused_pushes(numbers, evidence.latest),
        *stuck_troubles(numbers),
        *follow_up_troubles(numbers),
        *silent_pushes(numbers, evidence.latest),
        *_lanes(numbers),
        *_redis(evidence),
        *_missing(numbers),
        *unreadable_messages(numbers["at"], evidence.minutes, evidence.latest),
        *_versions(numbers),
    ]
    return sorted(found, key=lambda trouble: trouble["level"] != "bad")


def _trouble(key: str, level: str, said: Said, remedy: Said) -> Trouble:
    return {"key": key, "level": level, "said": said, "remedy": remedy}


def _broker(evidence: Evidence) -> Iterator[Trouble]:
    if evidence.broker_fault is not None and evidence.broker_remedy is not None:
        mend = evidence.broker_remedy
        yield _trouble(
            "broker_away",
            "bad",
            {
                "en": f"The broker refuses: {evidence.broker_fault}.",
                "zh": f"broker 拒绝：{evidence.broker_fault}。",
            },
            {
                "en": f"{mend[:1].upper()}{mend[1:]}.",
                "zh": "请在所有进程的 WXCHECK_BROKER_URL 中改正用户名、密码、数据库或虚拟主机，并检查该用户的权限。",
            },
        )
    elif evidence.broker_fault is not None:
        yield _trouble(
            "broker_away",
            "bad",
            {
                "en": f"The broker does not answer: {evidence.broker_fault}.",
                "zh": f"broker 没有应答：{evidence.broker_fault}。",
            },
            {
                "en": "Start it, or set WXCHECK_BROKER_URL to the one that runs; nothing is taken from its queues.",
                "zh": "请启动它，或把 WXCHECK_BROKER_URL 设为正在运行的那个；在此之前队列不会被消费。",
            },
        )


def _clocks(numbers: dict[str, Any]) -> Iterator[Trouble]:
    for process in numbers["processes"]:
        off = process["clock_offset_seconds"]
        if abs(off) < CLOCK_DOUBT or process["age_seconds"] > CALL:
            continue
        amount = span(abs(off))
        way = ("ahead of", "快") if off > 0 else ("behind", "慢")
        yield _trouble(
            "clock_off",
            "bad" if abs(off) >= CLOCK_FAULT else "warn",
            {
                "en": f"The clock of {process['name']} is {amount['en']} {way[0]} that of Redis.",
                "zh": f"{process['name']} 的时钟比 Redis {way[1]}了 {amount['zh']}。",
            },
            {
                "en": "Set the wrong one of the two, and have NTP keep both; pushes are refused beyond 10 minutes.",
                "zh": "请校正其中不准的一个，并用 NTP 保持同步；相差超过 10 分钟的推送会被拒绝。",
            },
        )


def _refused_appids(numbers: dict[str, Any], evidence: Evidence) -> Iterator[Trouble]:
    told = set()
    for failure in numbers["failures"]["newest"]:
        appid, errcode = failure["appid"], failure["errcode"]
        if failure["name"] != "CheckRefused" or errcode is None or not stops(errcode) or appid in told:
            continue
        sent = max(evidence.latest.get(f"calls|{appid}|{lane}|sent", 0.0) for lane in LANES)
        if numbers["at"] - failure["at"] > RECENT or sent > failure["at"] + 2:
            continue
        told.add(appid)
        lane = next((lane for lane in numbers["lanes"] if lane["appid"] == appid and lane["state"] == "stopped"), None)
        words = lane["why"] if lane is not None else remedies.refusal(errcode, "")
        yield _trouble(
            "appid_refused",
            "bad",
            {lang: f"{appid}: {words[lang]}".strip() + ("." if lang == "en" else "。") for lang in ("en", "zh")},
            remedies.remedy("CheckRefused", errcode),
        )


def _platform(numbers: dict[str, Any], evidence: Evidence) -> Iterator[Trouble]:
    recent: Counter[str] = Counter()
    for counted in list(evidence.minutes.values())[-AWAY_MINUTES:]:
        recent.update(counted)
    for appid in dict.fromkeys(lane["appid"] for lane in numbers["lanes"]):
        calls = dict.fromkeys(("sent", "retried"), 0)
        last = dict.fromkeys(calls, 0.0)
        for what in calls:
            fields = [f"calls|{appid}|{lane}|{what}" for lane in LANES]
            calls[what] = sum(recent[field] for field in fields)
            last[what] = max(evidence.latest.get(field, 0.0) for field in fields)
        failing = calls["retried"] >= max(AWAY_CALLS, AWAY_SHARE * calls["sent"])
        if failing and last["retried"] >= last["sent"] - CALL:
            yield _trouble(
                "platform_away",
                "bad",
                {
                    "en": f"{appid}: WeChat gives no usable answer, {calls['retried']} times in the last minutes.",
                    "zh": f"{appid}：微信没有给出可用的应答，最近几分钟 {calls['retried']} 次。",
                },
                {
                    "en": "wxcheck doctor says which step fails: name, connection, TLS or answer. Checks are tried "
                    "again; those that fail for it are kept for wxcheck replay.",
                    "zh": "wxcheck doctor 会指出失败的步骤：域名、连接、TLS 或应答。检测会自动重试；"
                    "因此失败的会保留，可用 wxcheck replay 重放。",
                },
            )


_SERVERS: dict[str, Said] = {
    "broker": {"en": "brokers", "zh": " broker "},
    "results": {"en": "result backends", "zh": "结果后端"},
}


def _servers(numbers: dict[str, Any]) -> Iterator[Trouble]:
    having = {
        process["name"]: {role: Server(**server) for role, server in process["servers"].items()}
        for process in numbers["processes"]
        if process["age_seconds"] <= CALL
    }
    for role, by_place in differing(having):
        listed = "; ".join(f"{place}: {', '.join(names)}" for place, names in by_place.items())
        name = _SERVERS[role]
        yield _trouble(
            "servers_differ",
            "bad",
            {"en": f"Processes have different {name['en']}: {listed}.", "zh": f"各进程的{name['zh']}不同：{listed}。"},
            {
                "en": "Give all processes the same WXCHECK_BROKER_URL and WXCHECK_RESULT_BACKEND, and start those "
                "again that had another.",
                "zh": "请让所有进程使用相同的 WXCHECK_BROKER_URL 和 WXCHECK_RESULT_BACKEND，并重启不一致的进程。",
            },
        )


def _workers(numbers: dict[str, Any]) -> Iterator[Trouble]:
    idle = [queue for queue in numbers["queues"] if not queue["workers"]]
    names = [queue["name"] for queue in idle]
    if not names:
        return
    listed = ", ".join(names)
    waiting = sum((queue["messages"] or 0) + queue["ready"] for queue in idle)
    waiting += sum(lane["backlog"] for lane in numbers["lanes"] if QUEUE_OF[lane["lane"]] in names)
    yield _trouble(
        "no_worker",
        "bad",
        {
            "en": f"No worker serves {listed}; {waiting} messages and checks wait for one.",
            "zh": f"没有 worker 服务 {listed}；有 {waiting} 条消息和检测在等待。",
        },
        {
            "en": f"Start one: celery -A worker worker -Q {','.join(names)}",
            "zh": f"请启动一个：celery -A worker worker -Q {','.join(names)}",
        },
    )


def _endpoint(numbers: dict[str, Any]) -> Iterator[Trouble]:
    if any(process["kind"] == "endpoint" and process["age_seconds"] < CALL for process in numbers["processes"]):
        return
    yield _trouble(
        "no_endpoint",
        "bad" if numbers["waiting"]["count"] else "warn",
        {"en": "No endpoint runs: pushes are lost.", "zh": "没有运行中的端点：推送会丢失。"},
        {"en": "Start it: python -m callbacks", "zh": "请启动它：python -m callbacks"},
    )


#: a way to give up what waits in a lane
_EMPTY: Said = {
    "en": "wxcheck cancel --lane {lane} --appid {appid} gives up the checks that wait.",
    "zh": "wxcheck cancel --lane {lane} --appid {appid} 可放弃等待中的检测。",
}


def _lanes(numbers: dict[str, Any]) -> Iterator[Trouble]:
    for lane in numbers["lanes"]:
        name = f"{lane['appid']} {lane['lane']}"
        opens = _clock(lane["opens_at"]) if lane["opens_at"] is not None else ""
        waiting = {"en": f"; {lane['backlog']} checks wait" if lane["backlog"] else "", "zh": ""}
        if lane["backlog"]:
            waiting["zh"] = f"；有 {lane['backlog']} 个检测在等待"
        said = {
            "en": f"{name}: {(lane['why'] or {}).get('en', '')}; nothing is sent until {opens}{waiting['en']}.",
            "zh": f"{name}：{(lane['why'] or {}).get('zh', '')}；{opens} 之前不会发送{waiting['zh']}。",
        }
        if lane["state"] == "spent":
            yield _trouble(
                "day_quota_gone",
                "bad",
                said,
                {
                    "en": "Ask WeChat for a larger quota, or send less: other programs with this appId spend it too. "
                    f"WXCHECK_DAY_RESERVE keeps a part of it from backfills. {_EMPTY['en'].format(**lane)}",
                    "zh": "请向微信申请更大的配额，或减少发送：使用同一 appId 的其他程序也在消耗。"
                    f"WXCHECK_DAY_RESERVE 可为用户保留一部分。{_EMPTY['zh'].format(**lane)}",
                },
            )
        elif lane["state"] in ("closed", "paused"):
            yield _trouble(
                f"lane_{lane['state']}",
                "warn",
                said,
                {
                    "en": "It opens by itself. Where it happens often, something else spends the same quota.",
                    "zh": "届时会自动恢复。如经常发生，说明有别的程序在使用同一配额。",
                },
            )
        elif (lane["backlog_seconds"] or 0) > LONG_BACKLOG:
            long = span(lane["backlog_seconds"])
            yield _trouble(
                "backlog_long",
                "warn",
                {
                    "en": f"{name}: {lane['backlog']} checks wait, which takes {long['en']} at least.",
                    "zh": f"{name}：{lane['backlog']} 个检测在等待，至少需要 {long['zh']}。",
                },
                {
                    "en": "Are there workers enough? If the gauge of the minute is full, the quota is the bound.",
                    "zh": "worker 是否足够？如果每分钟配额已满，则受配额限制。",
                },
            )


def _redis(evidence: Evidence) -> Iterator[Trouble]:
    for fault in evidence.redis_faults:
        said, _, mend = fault.rpartition(": ")
        yield _trouble(
            "redis_unsafe",
            "bad",
            {"en": f"Redis may lose checks: {said}.", "zh": f"Redis 可能丢失检测：{said}。"},
            {
                "en": f"{mend[:1].upper()}{mend[1:]} in its configuration, and start it again.",
                "zh": f"请在其配置中 {mend}，然后重启。",
            },
        )


def _missing(numbers: dict[str, Any]) -> Iterator[Trouble]:
    missing = numbers["waiting"]["hour"]["missing"]
    if missing:
        yield _trouble(
            "pushes_missing",
            "warn",
            {
                "en": f"{missing} pushes of the last hour never came: PushTimeout.",
                "zh": f"最近一小时有 {missing} 个推送始终没有到达：PushTimeout。",
            },
            {
                "en": "Look whether the endpoint was away, then wxcheck replay --failure PushTimeout.",
                "zh": "请查看端点是否中断过，然后执行 wxcheck replay --failure PushTimeout。",
            },
        )


def _versions(numbers: dict[str, Any]) -> Iterator[Trouble]:
    versions = sorted({process["version"] for process in numbers["processes"]})
    if len(versions) > 1:
        listed = ", ".join(versions)
        yield _trouble(
            "versions_differ",
            "warn",
            {"en": f"Processes of several versions run: {listed}.", "zh": f"同时运行着多个版本：{listed}。"},
            {"en": "Start those of the older one again.", "zh": "请重启旧版本的进程。"},
        )


def _clock(at: float) -> str:
    """Return the time of day in Shanghai, where the platform's day begins and ends."""
    return datetime.fromtimestamp(at, UTC).astimezone(SHANGHAI_ZONE).strftime("%H:%M:%S (UTC+8)")
