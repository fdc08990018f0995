"""The troubles of a board that cannot read its numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import redis.exceptions

#: a sentence in English ("en") and Chinese ("zh")
Said = dict[str, str]
#: a trouble in the form of ``status.numbers``
Trouble = dict[str, Any]

#: part of an error's text that the sentence repeats
_REPEATED = re.compile(r"^Error -?\d+ connecting to \S+\.\s")

_START: Said = {
    "en": "Start it, or set WXCHECK_REDIS_URL to the one that runs; until then no check is sent.",
    "zh": "请启动它，或把 WXCHECK_REDIS_URL 设为正在运行的那个；在此之前不会发出任何检测。",
}
_LOGIN: Said = {
    "en": "Mend user and password in WXCHECK_REDIS_URL, for every process.",
    "zh": "请在所有进程的 WXCHECK_REDIS_URL 中改正用户名和密码。",
}
_PERMISSION: Said = {
    "en": "Allow it to the user in WXCHECK_REDIS_URL: redis-cli ACL SETUSER.",
    "zh": "请为 WXCHECK_REDIS_URL 中的用户授权：redis-cli ACL SETUSER。",
}
_LOADING: Said = {
    "en": "It reads its data from its disk: wait. If it takes longer than minutes, look into its log.",
    "zh": "它正在从磁盘载入数据，请稍候。如果超过几分钟，请查看它的日志。",
}
_REFUSES: Said = {
    "en": "Look into its log: disk, memory and replicas (INFO persistence, memory, replication).",
    "zh": "请查看它的日志：磁盘、内存和副本（INFO persistence、memory、replication）。",
}


@dataclass(frozen=True)
class StoreAway:
    """The store does not answer, or refuses."""

    #: host and port
    store: str
    #: words of Redis or of the network
    why: str
    remedy: Said

    @property
    def said(self) -> Said:
        return {
            "en": f"Redis at {self.store} does not answer: {self.why}.",
            "zh": f"{self.store} 上的 Redis 没有应答：{self.why}。",
        }

    def trouble(self) -> Trouble:
        return {"key": "store_away", "level": "bad", "said": self.said, "remedy": self.remedy}


@dataclass(frozen=True)
class NotReadable:
    """A fault of the board's own, or of what it reads."""

    #: the error's class: its text may quote what was read
    error: str

    def trouble(self) -> Trouble:
        return {
            "key": "numbers_unreadable",
            "level": "bad",
            "said": {
                "en": f"The board cannot make sense of what it reads: {self.error}.",
                "zh": f"看板读不懂存储里的内容：{self.error}。",
            },
            "remedy": {
                "en": "Its log tells where. Do all processes run the same version?",
                "zh": "详情见看板的日志。所有进程的版本是否一致？",
            },
        }


def store_away(store: str, error: Exception) -> StoreAway:
    """Return the trouble for one of ``STORE_AWAY``, whose words are one line without a full stop."""
    words = _REPEATED.sub("", " ".join(str(error).split()))[:160].rstrip(".")
    return StoreAway(store, words or type(error).__name__, _remedy(error))


def store_silent(store: str, seconds: float) -> StoreAway:
    """Return the trouble for a store that has not answered for ``seconds``."""
    return StoreAway(store, f"no answer within {seconds:.0f} s", _START)


def _remedy(error: Exception) -> Said:
    if isinstance(error, redis.exceptions.AuthenticationError):
        return _LOGIN
    if isinstance(error, redis.exceptions.NoPermissionError):
        return _PERMISSION
    if isinstance(error, redis.exceptions.BusyLoadingError):
        return _LOADING
    if isinstance(error, redis.exceptions.ConnectionError | redis.exceptions.TimeoutError):
        return _START
    return _REFUSES


def place(url: str) -> str:
    """Return host and port of a server's URL, without user and password."""
    parts = urlsplit(url)
    return f"{parts.hostname or '127.0.0.1'}:{parts.port or 6379}"
