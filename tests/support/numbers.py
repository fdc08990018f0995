"""The board's numbers of a cluster that is made up."""

from __future__ import annotations

from typing import Any

AT = 1_764_158_400.0


def said(en: str, zh: str) -> dict[str, str]:
    return {"en": en, "zh": zh}


def numbers(**changes: Any) -> dict[str, Any]:
    """One where all is well; ``changes`` takes the place of what it says."""
    none = dict.fromkeys(("matched", "early", "late", "repeated", "orphaned", "missing", "forged"), 0)
    return {
        "at": AT,
        "version": "0.1.0",
        "stale_seconds": 0,
        "troubles": [],
        "lanes": [lane()],
        "queues": [{"name": "wxcheck.text", "messages": 1717, "ready": 0, "workers": 2}],
        "waiting": {
            "count": 3,
            "oldest_seconds": 12.5,
            "hour": {**none, "matched": 10, "forged": 2},
            "day": {**none, "matched": 100},
            "delay": {"count": 10, "p50": 1.2, "p95": 4.0, "p99": 75.0, "buckets": [[0.5, 3], [None, 0]]},
        },
        "verdicts": [{"kind": "image", "suggest": "risky", "label": 20002, "hour": 3, "day": 40}],
        "failures": {"classes": [], "newest": []},
        "processes": [process()],
        "places": {"inbox": 3, "lanes": 1717, "shelf": 14, "in_hand": 2, "parked": 3, "ready": 0, "outbox": 0},
        "dead": 0,
        **changes,
    }


def lane(**changes: Any) -> dict[str, Any]:
    return {
        "appid": "wx0123456789abcdef",
        "lane": "text",
        "minute": {"used": 12, "limit": 4000},
        "day": {"used": 1_900_000, "limit": 2_000_000},
        "state": "open",
        "why": None,
        "opens_at": None,
        "backlog": 1717,
        "backlog_seconds": 26.0,
        "hour": [[AT - 3600 + 60 * minute, minute % 9, 0, 0] for minute in range(60)],
        **changes,
    }


def process(**changes: Any) -> dict[str, Any]:
    return {
        "name": "text@host",
        "kind": "worker",
        "queues": ["wxcheck.text"],
        "pool": "threads",
        "slots": 96,
        "version": "0.1.0",
        "at": AT - 1,
        "age_seconds": 1.0,
        "clock_offset_seconds": 0.01,
        **changes,
    }


def trouble(level: str = "bad") -> dict[str, Any]:
    return {
        "key": "wrong_secret",
        "level": level,
        "said": said("WeChat refuses the AppSecret", "微信不接受 AppSecret"),
        "remedy": said("set WXCHECK_SECRET", "设置 WXCHECK_SECRET"),
    }


def failure(**changes: Any) -> dict[str, Any]:
    return {
        "at": AT - 60,
        "name": "CheckRefused",
        "errcode": 40164,
        "rid": "6b082fe3-9386c672-e621bef7",
        "appid": "wx0123456789abcdef",
        "task_id": "3f0c",
        "remedy": said("list the IP", "把 IP 加入白名单"),
        **changes,
    }
