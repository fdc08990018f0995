"""Stuck work (:mod:`status.stuck`), as troubles. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from status.remedies import Said
from status.spans import span

if TYPE_CHECKING:
    from collections.abc import Iterator

#: minutes with an end that could not be stored, from which on the cause is no blip
ENDS_REFUSED = 3


def stuck_troubles(numbers: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the troubles; none if no worker runs, which explains all of them."""
    if not any(queue["workers"] for queue in numbers["queues"]):
        return
    stuck = numbers["stuck"]
    if (found := stuck["finishing"])["count"]:
        waited = span(found["oldest_seconds"])
        yield _trouble(
            "finishing_stuck",
            {
                "en": f"Checks that have their push, or wait no more, do not end: {found['count']}, the oldest for "
                f"{waited['en']}.",
                "zh": f"{found['count']} 个检测已收到推送或已结束等待，却没有完成：最久的已 {waited['zh']}。",
            },
            {
                "en": "Enough workers on wxcheck.push? Their logs say why: end_not_stored, not_brought_on, "
                "finish_not_published. wxcheck pending lists them as finishing.",
                "zh": "wxcheck.push 上的 worker 是否足够？原因见其日志：end_not_stored、not_brought_on、"
                "finish_not_published。wxcheck pending 把它们列为 finishing。",
            },
        )
    if (found := stuck["shelved"])["count"]:
        waited = span(found["oldest_seconds"])
        yield _trouble(
            "shelf_stuck",
            {
                "en": f"Checks cannot go from the shelf back to their queue: {found['count']}, the oldest for "
                f"{waited['en']}.",
                "zh": f"{found['count']} 个检测无法从搁置区回到队列：最久的已 {waited['zh']}。",
            },
            {
                "en": "The workers' logs say why: not_brought_on. Does the broker take messages?",
                "zh": "原因见 worker 日志：not_brought_on。broker 是否接收消息？",
            },
        )
    if (found := stuck["due"])["count"]:
        waited = span(found["oldest_seconds"])
        yield _trouble(
            "due_stuck",
            {
                "en": f"Checks whose time has come (retry, countdown, time-out) are not taken up: {found['count']}, "
                f"the oldest for {waited['en']}.",
                "zh": f"{found['count']} 个到期的检测无人处理，已 {waited['zh']}：重试、倒计时、超时。",
            },
            {
                "en": "The workers' logs say why: sweep_failed. Start the workers again.",
                "zh": "原因见 worker 日志：sweep_failed。请重启 worker。",
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
                "en": "The workers' logs say why: end_not_stored. Do result backend and broker take writes, and are "
                "the queues of follow-ups lists?",
                "zh": "原因见 worker 日志：end_not_stored。结果后端和 broker 是否可写？后续任务的队列是否为列表？",
            },
        )
    for name, seconds in stuck["queues"].items():
        waited = span(seconds)
        yield _trouble(
            "queue_stuck",
            {
                "en": f"{name} does not move: it has messages, workers and a quota, and nothing has come out of it for "
                f"{waited['en']}.",
                "zh": f"{name} 没有进展：有消息、有 worker、有配额，但已 {waited['zh']} 没有处理任何消息。",
            },
            {
                "en": "See the workers' logs, and start them again; wxcheck doctor compares which broker each has.",
                "zh": "请查看 worker 日志并重启；wxcheck doctor 会比较各进程所用的 broker。",
            },
        )


def _trouble(key: str, said: Said, remedy: Said) -> dict[str, Any]:
    return {"key": key, "level": "bad", "said": said, "remedy": remedy}
