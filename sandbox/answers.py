"""The sandbox's answers over HTTP: error codes with their messages, verdicts of texts, receipts of media. Pure.

Sources: the documentation of ``msg_sec_check`` and ``media_check_async``, the list of global error codes, and answers
seen in public clients.
"""

from __future__ import annotations

import json
import random
import time
from typing import Any

from sandbox.scenarios import Scenario

ERRMSGS = {
    -1: "system error",
    40001: "invalid credential, access_token is invalid or not latest",
    40002: "invalid grant_type",
    40003: "invalid openid",
    40004: "invalid media type",
    40013: "invalid appid",
    40014: "invalid access_token",
    40033: "invalid charset. please check your request",
    40125: "invalid appsecret",
    40129: "invalid scene",
    40164: "invalid ip {ip} ipv6 ::ffff:{ip}, not in whitelist",
    40234: "api must be called with signature and encryption",
    40235: "api must be called with signature and encryption",
    41001: "access_token missing",
    41002: "appid missing",
    41004: "appsecret missing",
    42001: "access_token expired",
    43001: "require GET method",
    43002: "require POST method",
    43104: "appid not match with openid",
    44002: "empty post data",
    44990: "reach max api second frequence limit",
    44991: "reach max api minute frequence limit",
    45002: "content size out of limit",
    45009: "reach max api daily quota limit",
    45011: "api minute-quota reach limit, must slower, retry next minute",
    47001: "data format error",
    48001: "api unauthorized",
    61007: "api is unauthorized to component",
    61010: "用户未在近两小时访问小程序",
    76021: "cgi_path not found, please check",
    87014: "risky content",
    87020: "media is checked too often",
}

#: labels of a verdict on media; texts have more
RISKY_LABEL = 20002
PASS_LABEL = 100


class Refused(Exception):
    """A call is answered with ``errcode``."""

    def __init__(self, errcode: int, ip: str = "") -> None:
        super().__init__(errcode)
        self.errcode = errcode
        self.ip = ip


def three_words() -> str:
    """``8hex-8hex-8hex``: the shape of a v2 ``trace_id`` and of a ``rid``; it begins with the time."""
    return f"{int(time.time()):08x}-{random.getrandbits(32):08x}-{random.getrandbits(32):08x}"


def refusal(errcode: int, ip: str = "") -> dict[str, Any]:
    """The answer with ``errcode``; its ``errmsg`` ends in ``rid: …``, as all but ``ok`` do."""
    if errcode == 0:
        return {"errcode": 0, "errmsg": "ok"}
    message = ERRMSGS.get(errcode, "sandbox").format(ip=ip)
    return {"errcode": errcode, "errmsg": f"{message} rid: {three_words()}"}


def verdict_of(scenario: Scenario) -> tuple[str, int]:
    """Return ``suggest`` and ``label`` of ``scenario``; ``pass`` and 100 if it names none."""
    label = scenario.label
    suggest = scenario.suggest
    if suggest is None:
        suggest = "pass" if label in (None, PASS_LABEL) else "risky"
    if label is None:
        label = PASS_LABEL if suggest == "pass" else RISKY_LABEL
    return suggest, label


def text_answer(scenario: Scenario, version: int, strings: bool) -> dict[str, Any]:
    """The verdict of a text. v1 knows risky (87014) or not, so that ``review`` passes there."""
    suggest, number = verdict_of(scenario)
    if version == 1:
        return refusal(87014 if suggest == "risky" else 0)
    label: int | str = str(number) if strings else number
    keyword: dict[str, Any] = {"strategy": "keyword", "errcode": 0}
    if suggest == "risky":
        keyword.update(suggest=suggest, label=label, level=90, keyword=scenario.written)
    answer: dict[str, Any] = {"errcode": 0, "errmsg": "ok"}
    if not scenario.no_result:
        answer["result"] = {"suggest": suggest, "label": label}
    answer["detail"] = [
        {"strategy": "content_model", "errcode": 0, "suggest": suggest, "label": label, "prob": 90},
        keyword,
    ]
    if not scenario.no_trace_id:
        answer["trace_id"] = three_words()
    return answer


def media_answer(scenario: Scenario, trace_id: str) -> dict[str, Any]:
    """The receipt of a media check; the verdict is pushed."""
    answer = {"errcode": 0, "errmsg": "ok"}
    return answer if scenario.no_trace_id else {**answer, "trace_id": trace_id}


_CAMEL = {"errcode": "errCode", "errmsg": "errMsg", "trace_id": "traceId"}


def encode(answer: dict[str, Any], camel: bool = False) -> bytes:
    """``answer`` as raw UTF-8, nothing escaped; ``camel`` for the names that cloud calls use."""
    if camel:
        answer = {_CAMEL.get(name, name): value for name, value in answer.items()}
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
