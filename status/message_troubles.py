"""Messages in the queues that could not be run, as troubles. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: seconds for which such messages are a fault that goes on; for the rest of the hour they are a doubt
RECENT = 300

#: reason (:mod:`worker.intake.reading`) -> name in English, name in Chinese, remedy in English, remedy in Chinese
_REASONS: dict[str, tuple[str, str, str, str]] = {
    "content_type": (
        "another serializer than JSON",
        "不是 JSON 序列化",
        'send checks with serializer="json", as wxcheck-client does, or set task_serializer = "json"',
        '请用 serializer="json" 发送检测（wxcheck-client 即如此），或设置 task_serializer = "json"',
    ),
    "compression": (
        "a compression that cannot be undone",
        "无法解压",
        "set no task_compression, or gzip",
        "请不要设置 task_compression，或使用 gzip",
    ),
    "encoding": (
        "a body that is not encoded as it says",
        "正文编码与声明不符",
        "send checks with Celery, or as its message protocol says",
        "请用 Celery 或按其消息协议发送检测",
    ),
    "body": (
        "a body that is no task's",
        "正文不是任务",
        "send checks with Celery, or as its message protocol says",
        "请用 Celery 或按其消息协议发送检测",
    ),
    "headers": (
        "headers that are wrong",
        "消息头有误",
        "send checks with Celery, or as its message protocol says",
        "请用 Celery 或按其消息协议发送检测",
    ),
    "task": (
        "a task that is none of wxcheck's",
        "不是 wxcheck 的任务",
        "give the application's own tasks a queue of their own, and compare the names of the checks",
        "请为应用自己的任务使用单独的队列，并核对检测任务的名称",
    ),
    "no_id": (
        "no task id",
        "没有任务 id",
        "see who else writes into these queues: nobody can be told of them",
        "请查看还有谁在写这些队列：这些消息无法通知任何人",
    ),
    "no_message": (
        "no message of Celery's",
        "不是 Celery 的消息",
        "see who else writes into these queues: nobody can be told of them",
        "请查看还有谁在写这些队列：这些消息无法通知任何人",
    ),
}


def unreadable_messages(
    at: float, minutes: Mapping[int, Counter[str]], latest: Mapping[str, float]
) -> Iterator[dict[str, Any]]:
    """Yield a trouble for each reason for which messages of the last hour could not be run."""
    hour: Counter[str] = Counter()
    for counted in minutes.values():
        hour.update(counted)
    for reason, (english, chinese, remedy, in_chinese) in _REASONS.items():
        fields = [field for field in hour if field.startswith("unreadable|") and field.endswith(f"|{reason}")]
        count = sum(hour[field] for field in fields)
        if not count:
            continue
        queues = ", ".join(sorted(field.split("|")[1] for field in fields))
        last = max(latest.get(field, 0.0) for field in fields)
        yield {
            "key": f"messages_{reason}",
            "level": "bad" if at - last < RECENT else "warn",
            "said": {
                "en": f"{count} messages of the last hour in {queues} could not be run: {english}.",
                "zh": f"最近一小时 {queues} 中有 {count} 条消息无法执行：{chinese}。",
            },
            "remedy": {
                "en": f"{remedy[:1].upper()}{remedy[1:]}. Those that had an id have failed as InvalidCheck.",
                "zh": f"{in_chinese}。有 id 的已以 InvalidCheck 失败。",
            },
        }
