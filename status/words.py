"""Words for people: durations, times, and ``wxcheck status`` in English and Chinese."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal

from config.days import DAY

Lang = Literal["en", "zh"]

#: a unit and its seconds, the next smaller unit and its seconds
_DURATION_UNITS = (("min", 60, "s", 1), ("h", 3600, "min", 60), ("d", DAY, "h", 3600))

_WORDS = {
    "all is well": "一切正常",
    "Remedy": "处理办法",
    "also": "另外",
    "these numbers are {} old: the store does not answer": "这些数字已是 {} 之前的：存储没有应答",
    "lanes": "通道",
    "no Mini Program is set": "没有设置小程序",
    "minute": "分钟",
    "day": "天",
    "hour": "小时",
    "backlog": "积压",
    "about {}": "约 {}",
    "opens in {}": "{} 后开放",
    "peak {} a minute": "峰值每分钟 {}",
    "open": "开放",
    "slowed": "减速",
    "closed": "关闭",
    "stopped": "停用",
    "paused": "暂停",
    "spent": "用尽",
    "places": "检测所在",
    "inbox": "收件箱",
    "shelf": "搁置",
    "in hand": "处理中",
    "parked": "等待推送",
    "ready": "待完成",
    "outbox": "发件箱",
    "queues": "队列",
    "{} messages, {} workers": "{} 条消息，{} 个 worker",
    "{} parked": "{} 个在等推送",
    "the oldest for {}": "最久的已等 {}",
    "push delay": "推送延迟",
    "of {} in the last hour": "最近一小时共 {} 次",
    "pushes": "推送",
    "matched": "匹配",
    "early": "先到",
    "late": "迟到",
    "repeated": "重复",
    "orphaned": "无主",
    "missing": "未到",
    "forged": "伪造",
    "verdicts": "结论",
    "text": "文本",
    "image": "图片",
    "audio": "音频",
    "media": "媒体",
    "pass": "通过",
    "review": "待审",
    "risky": "违规",
    "failures": "失败",
    "newest": "最近",
    "none": "无",
    "processes": "进程",
    "worker": "worker",
    "endpoint": "端点",
    "board": "看板",
    "seen {} ago": "{} 前有心跳",
    "clock off by {}": "时钟差 {}",
    "slots": "并发",
    "dead letters": "死信",
}
_UNITS = {"s": "秒", "min": "分", "h": "小时", "d": "天"}


def say(lang: Lang, words: str, *values: object) -> str:
    """Return ``words`` in the language ``lang``, with ``values`` in place of each ``{}``."""
    return (_WORDS.get(words, words) if lang == "zh" else words).format(*values)


def span(lang: Lang, seconds: float) -> str:
    """A duration: ``3 min 20 s``, ``3 分 20 秒``."""
    said = duration(seconds)
    return re.sub(r"[a-z]+", lambda unit: _UNITS[unit[0]], said) if lang == "zh" else said


def lang_of(value: str) -> Lang:
    """Return the language of ``--lang``, or of a locale: ``zh_CN.UTF-8``."""
    return "zh" if value.lower().startswith("zh") else "en"


def moment(at: float) -> str:
    """Return seconds since the epoch as local date and time: ``2025-11-26 20:00:00+08:00``."""
    return datetime.fromtimestamp(at).astimezone().isoformat(" ", "seconds")


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 d 4 h``."""
    if seconds < 0:
        return "-" + duration(-seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    unit, size, smaller, part = _DURATION_UNITS[0 if whole < 3600 else 1 if whole < DAY else 2]
    rest = whole % size // part
    return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")


def printable(text: str) -> str:
    """Return ``text``, with escapes for characters that move a cursor, colour a line or turn its direction."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape", "replace").decode() for char in text)
