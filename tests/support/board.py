"""A board in this process, on a free port, that shows numbers which a test makes up."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from config.settings import Settings
from ops.board.app import create_app
from tests.support.ports import free_port
from tests.support.processes import eventually

Numbers = dict[str, Any]

NONE_OF_PUSHES = dict.fromkeys(("matched", "early", "late", "repeated", "orphaned", "missing", "forged"), 0)
BOUNDS = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 1860, None)


def said(english: str, chinese: str) -> dict[str, str]:
    return {"en": english, "zh": chinese}


def lane(appid: str, name: str, state: str = "open", minute: int = 0, day: int = 0, **others: Any) -> Numbers:
    """A lane with the limits that WeChat documents, whose last hour is quiet."""
    limits = {"text": (4_000, 2_000_000), "media": (2_000, 200_000)}[name]
    start = int(time.time()) // 60 * 60 - 59 * 60
    return {
        "appid": appid,
        "lane": name,
        "minute": {"used": minute, "limit": limits[0]},
        "day": {"used": day, "limit": limits[1]},
        "state": state,
        "why": None,
        "opens_at": None,
        "backlog": 0,
        "backlog_seconds": 0.0,
        "hour": [[start + 60 * number, 0, 0, 0] for number in range(60)],
        **others,
    }


def hour(sent: Callable[[int], float], given_back: Callable[[int], float], refused: dict[int, int]) -> list[list[int]]:
    start = int(time.time()) // 60 * 60 - 59 * 60
    return [
        [start + 60 * number, int(sent(number)), max(0, int(given_back(number))), refused.get(number, 0)]
        for number in range(60)
    ]


def quiet(appid: str = "wx0123456789abcdef") -> Numbers:
    """All is well and nothing has happened."""
    now = time.time()
    return {
        "at": now,
        "version": "0.1.0",
        "stale_seconds": 0,
        "troubles": [],
        "lanes": [lane(appid, "text"), lane(appid, "media")],
        "queues": [
            {"name": f"wxcheck.{name}", "messages": 0, "ready": 0, "workers": 1} for name in ("text", "media", "push")
        ],
        "waiting": {
            "count": 0,
            "oldest_seconds": None,
            "hour": dict(NONE_OF_PUSHES),
            "day": dict(NONE_OF_PUSHES),
            "delay": {"count": 0, "p50": None, "p95": None, "p99": None, "buckets": [[bound, 0] for bound in BOUNDS]},
        },
        "verdicts": [],
        "failures": {"classes": [], "newest": []},
        "processes": [process("text@shop-1", ["wxcheck.text"]), process("endpoint@shop-1", [], "endpoint")],
        "places": {"inbox": 0, "lanes": 0, "shelf": 0, "in_hand": 0, "parked": 0, "ready": 0, "outbox": 0},
        "dead": 0,
    }


def process(name: str, queues: list[str], kind: str = "worker", **others: Any) -> Numbers:
    is_worker = kind == "worker"
    return {
        "name": name,
        "kind": kind,
        "queues": queues,
        "pool": "threads" if is_worker else None,
        "slots": 96 if is_worker else None,
        "version": "0.1.0",
        "at": time.time() - 1,
        "age_seconds": 1.0,
        "clock_offset_seconds": 0.004,
        **others,
    }


def busy() -> Numbers:
    """A day at work with a few things to look at: a closed lane, failures, a worker that is silent."""
    numbers, now = quiet("wx5a4dbeefdeadc0de"), time.time()
    wave = hour(lambda n: 2600 + 1100 * math.sin(n / 7) + 90 * (n % 5), lambda n: 700 * math.sin((n - 30) / 9), {})
    media = hour(
        lambda n: 0 if n > 55 else 700 + 420 * math.cos(n / 9),
        lambda n: 1300 if n > 54 else 0,
        {20: 2, 21: 9, 47: 260, 48: 90},
    )
    numbers["lanes"] = [
        lane("wx5a4dbeefdeadc0de", "text", minute=2_310, day=1_204_518, backlog=412, backlog_seconds=9.2, hour=wave),
        lane(
            "wx5a4dbeefdeadc0de",
            "media",
            "closed",
            minute=1_999,
            day=171_200,
            why=said("WeChat refused a call: its minute quota is used up.", "微信拒绝了调用：分钟配额已用完。"),
            opens_at=now + 42,
            backlog=1_840,
            backlog_seconds=97.0,
            hour=media,
        ),
    ]
    for queue, waiting in zip(numbers["queues"], (31, 7, 0), strict=True):
        queue.update(messages=waiting, workers=2)
    counts_by_place = (38, 2_252, 14, 61, 128, 5, 3)
    numbers["places"] = dict(zip(numbers["places"], counts_by_place, strict=True))
    counts = [3, 41, 312, 508, 207, 96, 31, 12, 6, 2, 1, 0, 0]
    numbers["waiting"] = {
        "count": 128,
        "oldest_seconds": 312.4,
        "hour": {**NONE_OF_PUSHES, "matched": 1_219, "early": 37, "repeated": 4, "forged": 2},
        "day": {
            **NONE_OF_PUSHES,
            "matched": 24_180,
            "early": 611,
            "repeated": 52,
            "late": 1,
            "orphaned": 3,
            "forged": 9,
        },
        "delay": {
            "count": sum(counts),
            "p50": 3.4,
            "p95": 27.0,
            "p99": 118.0,
            "buckets": [list(pair) for pair in zip(BOUNDS, counts, strict=True)],
        },
    }
    numbers["verdicts"] = [
        {"kind": kind, "suggest": suggest, "label": label, "hour": in_hour, "day": in_day}
        for kind, suggest, label, in_hour, in_day in [
            ("text", "pass", 100, 150_204, 1_180_020),
            ("text", "risky", 10001, 812, 9_041),
            ("text", "review", 20012, 402, 4_400),
            ("text", "risky", 20003, 97, 1_204),
            ("text", "risky", 20008, 31, 288),
            ("image", "pass", 100, 38_400, 160_021),
            ("image", "risky", 20002, 240, 2_011),
            ("image", "review", 21000, 120, 1_090),
            ("audio", "pass", 100, 210, 1_602),
            ("audio", "risky", 20001, 1, 7),
        ]
    ]
    unavailable = said(
        "Is the URL public, at most 10 MB, of a format that WeChat reads?",
        "URL 是否公网可访问、不超过 10 MB、格式受支持？",
    )
    idle = said(
        "The user was not active within two hours: check again when they are back.",
        "用户两小时内不活跃：等用户回来后再检测。",
    )
    late = said(
        "Is the push URL set, and does it reach the endpoint? wxcheck doctor asks it from outside.",
        "推送 URL 是否已设置、能否到达端点？wxcheck doctor 会从外部检查。",
    )
    numbers["failures"] = {
        "classes": [
            {"name": "MediaUnavailable", "errcode": -1008, "hour": 12, "day": 96, "remedy": unavailable},
            {"name": "CheckRefused", "errcode": 61010, "hour": 3, "day": 17, "remedy": idle},
            {"name": "PushTimeout", "errcode": None, "hour": 0, "day": 1, "remedy": late},
        ],
        "newest": [
            failure("MediaUnavailable", -1008, None, unavailable, now - 21),
            failure("CheckRefused", 61010, "67a1f2c0-0b5ad0a1-7c0e3fd2", idle, now - 340),
            failure("PushTimeout", None, None, late, now - 40_000),
        ],
    }
    numbers["processes"] = [
        process("text@shop-1", ["wxcheck.text"], slots=96),
        process("media@shop-1", ["wxcheck.media"], slots=96),
        process("push@shop-2", ["wxcheck.push"], slots=16, age_seconds=48.0, clock_offset_seconds=-3.2),
        process("endpoint@shop-1", [], "endpoint", version="0.0.9"),
        process("board@shop-1", [], "board"),
    ]
    numbers["troubles"] = [
        trouble(
            "closed",
            "warn",
            "WeChat's minute quota for media is used up for wx5a4dbeefdeadc0de.",
            "Nothing to do: its checks wait and go out in the next minute. Often? Ask WeChat for more.",
            "wx5a4dbeefdeadc0de 的媒体分钟配额已用完。",
            "无需处理：检测会等到下一分钟发出。经常如此？请向微信申请更多配额。",
        ),
        trouble(
            "silent",
            "warn",
            "push@shop-2 has not reported for 48 s.",
            "Is it running? Its log tells why it stopped.",
            "push@shop-2 已 48 秒没有心跳。",
            "它在运行吗？停止原因见其日志。",
        ),
    ]
    numbers.update(dead=97)
    return numbers


def many(programs: int = 25) -> Numbers:
    """Fifty lanes, in every state."""
    numbers = busy()
    states = ["open", "open", "open", "slowed", "open", "closed", "open", "open", "paused", "open", "spent", "stopped"]
    lanes = []
    for number in range(programs):
        appid = f"wx{number:04d}c0ffee{number * 7919 % 9973:04d}00"
        for name in ("text", "media"):
            state = states[(number * 2 + (name == "media")) % len(states)]
            quota = 2_000_000 if name == "text" else 200_000
            start = lane(appid, name)["hour"]
            wave = [[at, int(300 + 200 * math.sin((n + number) / 6)), 0, 0] for n, (at, *_) in enumerate(start)]
            lanes.append(
                lane(
                    appid,
                    name,
                    state,
                    minute=37 * number,
                    day=quota if state == "spent" else 3_001 * number,
                    opens_at=time.time() + 60 * number if state in ("closed", "spent") else None,
                    backlog=3 * number,
                    backlog_seconds=None if state == "stopped" else 1.5 * number,
                    hour=wave,
                )
            )
    numbers["lanes"] = lanes
    return numbers


def failure(name: str, errcode: int | None, rid: str | None, remedy: dict[str, str], at: float) -> Numbers:
    return {
        "at": at,
        "name": name,
        "errcode": errcode,
        "rid": rid,
        "appid": "wx5a4dbeefdeadc0de",
        "task_id": "8d5b6c1e-5e0e-4a53-9f43-0b6f6f3c2a11",
        "remedy": remedy,
    }


def trouble(key: str, level: str, en: str, remedy_en: str, zh: str = "中文", remedy_zh: str = "办法") -> Numbers:
    return {"key": key, "level": level, "said": said(en, zh), "remedy": said(remedy_en, remedy_zh)}


class Board:
    """A board that runs; ``numbers`` is what it reads, or the error that its reading raises."""

    def __init__(self, **settings: Any) -> None:
        self.numbers: Numbers | Exception = quiet()
        #: how often it has read
        self.reads = 0
        #: cleared: a reading does not end
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._settings = Settings(_env_file=None, **settings)
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def read(self) -> Numbers:
        self.reads += 1
        assert self.goes_on.wait(60)
        if isinstance(self.numbers, Exception):
            raise self.numbers
        return {**self.numbers, "at": time.time()}

    def start(self) -> None:
        config = uvicorn.Config(
            create_app(self._settings, self.read),
            port=self.port,
            log_config=None,
            ws="none",
            timeout_graceful_shutdown=1,
        )
        server = self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
        self._thread.start()
        eventually(lambda: server.started, "the board listens")

    def stop(self) -> None:
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self.goes_on.set()
        self._thread.join(30)
        self._server = None


@contextmanager
def board(**settings: Any) -> Iterator[Board]:
    running = Board(**settings)
    running.start()
    try:
        yield running
    finally:
        running.stop()
