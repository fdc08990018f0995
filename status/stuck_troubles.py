"""Stuck work (:mod:`status.stuck`), as troubles. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from config.lanes import READY_OF
from status.remedies import Said
from status.spans import span

if TYPE_CHECKING:
    from collections.abc import Iterator

#: minutes with an end that could not be stored, from which on the cause is no blip
ENDS_REFUSED = 3


def stuck_troubles(numbers: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the troubles; a queue without workers is told as that, and explains all that stands for want of them."""
    served = {queue["name"] for queue in numbers["queues"] if queue["workers"]}
    if not served:
        return
    stuck = numbers["stuck"]
    yield from _inbox(stuck["inbox"])
    for queue, name in READY_OF.items():
        if name in served:
            yield from _lanes(queue, stuck["lanes"].get(queue))
            yield from _ready(name, stuck["ready"][queue])
    if (found := stuck["due"])["count"]:
        waited = span(found["oldest_seconds"])
        yield _trouble(
            "due_stuck",
            {
                "en": f"Checks whose time has come (retry, countdown, time-out, lost worker) are not brought on: "
                f"{found['count']}, the oldest for {waited['en']}.",
                "zh": f"{found['count']} 个到期的检测无人处理，已 {waited['zh']}：重试、倒计时、超时、worker 失联。",
            },
            {
                "en": "The workers' logs say why: sweep_failed. Start the workers again.",
                "zh": "原因见 worker 日志：sweep_failed。请重启 worker。",
            },
        )
    if (found := stuck["outbox"])["count"]:
        waited = span(found["oldest_seconds"])
        yield _trouble(
            "outbox_stuck",
            {
                "en": f"Checks have ended, and their results or follow-ups do not leave the outbox: {found['count']}, "
                f"the oldest for {waited['en']}.",
                "zh": f"{found['count']} 个检测已结束，但其结果或后续任务滞留在发件箱中，最久的已 {waited['zh']}。",
            },
            {
                "en": "Do broker and result backend take writes? The workers' logs say why: not_brought_out.",
                "zh": "broker 和结果后端是否可写？原因见 worker 日志：not_brought_out。",
            },
        )
    if stuck["ends"] >= ENDS_REFUSED:
        yield _trouble(
            "ends_stuck",
            {
                "en": "How checks end is known and cannot be stored, again and again for minutes.",
                "zh": "有检测已得出结果却无法保存，几分钟来反复失败。",
            },
            {
                "en": "The workers' logs say why: end_not_stored. Does the store take writes, and are the queues of "
                "follow-ups lists?",
                "zh": "原因见 worker 日志：end_not_stored。存储是否可写？后续任务的队列是否为列表？",
            },
        )


def _inbox(standing: dict[str, float]) -> Iterator[dict[str, Any]]:
    for name, seconds in standing.items():
        waited = span(seconds)
        yield _trouble(
            "inbox_stuck",
            {
                "en": f"The inbox {name} does not move: it has messages and workers, and nothing has come out of it "
                f"for {waited['en']}.",
                "zh": f"收件箱 {name} 没有进展：有消息、有 worker，但已 {waited['zh']} 没有取出任何消息。",
            },
            {
                "en": "The workers' logs say why: inbox_away, not_filed, intake_failed, newer_format. Start the "
                "workers again; wxcheck doctor compares which broker each has.",
                "zh": "原因见 worker 日志：inbox_away、not_filed、intake_failed、newer_format。请重启 worker；"
                "wxcheck doctor 会比较各进程所用的 broker。",
            },
        )


def _lanes(kind: str, found: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    if found is None or not found["count"]:
        return
    waited = span(found["oldest_seconds"])
    chinese = {"text": "文本", "media": "媒体"}[kind]
    yield _trouble(
        "lane_stuck",
        {
            "en": f"Checks wait in {kind} lanes that may send, and no worker takes any: {found['count']} lanes, the "
            f"first for {waited['en']}.",
            "zh": f"{found['count']} 条{chinese}通道可以发送，却没有 worker 取走其中的检测，最久的已 {waited['zh']}。",
        },
        {
            "en": "Are all slots busy? Then start more workers, or ones with more slots (-c). Else the workers' logs "
            "say why: take_failed, newer_format.",
            "zh": "是否所有并发都被占用？若是，请增加 worker 或并发数（-c）。否则原因见 worker 日志：take_failed、"
            "newer_format。",
        },
    )


def _ready(name: str, found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if not found["count"]:
        return
    waited = span(found["oldest_seconds"])
    yield _trouble(
        "ready_stuck",
        {
            "en": f"Checks whose end is known are not told it: {found['count']} ready for the workers on {name}, the "
            f"oldest for {waited['en']}.",
            "zh": f"{found['count']} 个检测的结局已知，却没有 {name} 上的 worker 来完成，最久的已 {waited['zh']}。",
        },
        {
            "en": f"Are there workers and slots enough on {name}? Their logs say why: take_failed, end_not_stored, "
            "not_run. wxcheck show TASK_ID tells of one.",
            "zh": f"{name} 上的 worker 和并发是否足够？原因见其日志：take_failed、end_not_stored、not_run。"
            "wxcheck show TASK_ID 会说明单个检测。",
        },
    )


def _trouble(key: str, said: Said, remedy: Said) -> dict[str, Any]:
    return {"key": key, "level": "bad", "said": said, "remedy": remedy}
