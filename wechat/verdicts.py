"""Verdicts, made from the platform's answers and pushes. Pure. An answer without a verdict is never a pass."""

from __future__ import annotations

import re
from typing import Any, Literal, cast

from config.names import MAX_ERRMSG
from wechat.answers import Answer, integer
from wechat.errcodes import OK, RISKY
from wxcheck import Kind, MediaUnavailable, Suggest, Verdict

NORMAL = 100
#: label of risky content without a named reason; version 1 never names one
OTHER = 21000
#: labels that the platform documents; :class:`wxcheck.Verdict` tells their meaning
LABELS = (NORMAL, 10001, 20001, 20002, 20003, 20006, 20008, 20012, 20013, OTHER)

#: errcode of a failure without a code of its own
UNKNOWN = -1


#: the trace_ids that the endpoint takes
_TRACE_ID = re.compile(r"[!-~]{1,128}")

_NO_ERRCODE = "the push says no errcode that can be read, and no result that its details agree with"
#: version 1 pushes a code without a message
_V1_FAILURES = {-1008: "the file could not be downloaded", 43104: "appid not match with openid"}


class NoVerdict(Exception):
    """The platform answered without a verdict; the message says what the answer lacks."""


def text_verdict(answer: Answer, version: Literal[1, 2], appid: str) -> Verdict:
    """Return the verdict on a text from an ``answer`` with errcode 0 or 87014.

    Raises:
        NoVerdict: version 2 without a readable ``result``.
    """
    trace_id = _trace_id(answer.data)
    detail = _detail(answer.data)
    if answer.errcode == RISKY:
        return _verdict("text", "risky", OTHER, version, appid, trace_id, detail)
    if version == 1 and "result" not in answer.data:
        return _verdict("text", "pass", NORMAL, version, appid, trace_id, detail)
    result = _result(answer.data)
    if result is None:
        raise NoVerdict("an answer without a result")
    return _verdict("text", *result, version, appid, trace_id, detail)


def accepted_trace_id(answer: Answer) -> str:
    """Return the ``trace_id`` under which the platform took a picture or a sound.

    Raises:
        NoVerdict: the answer has none, so no push could be matched to this check.
    """
    trace_id = _trace_id(answer.data)
    if answer.errcode != OK or trace_id is None:
        raise NoVerdict("an answer without a trace_id")
    return trace_id


def media_verdict(push: dict[str, Any], kind: Kind, appid: str) -> Verdict:
    """Return the verdict on a picture or a sound from a ``push``, in the form that the endpoint puts on the queue.

    Raises:
        MediaUnavailable: the platform could not fetch or judge the file, or the push holds no verdict.
    """
    trace_id, detail = str(push["trace_id"]), push.get("detail") or []
    if push.get("version") == 2:
        errcode = push.get("errcode")
        if errcode is None:
            raise MediaUnavailable(UNKNOWN, _NO_ERRCODE)
        if errcode != OK:
            raise MediaUnavailable(errcode, str(push.get("errmsg") or "no errmsg")[:MAX_ERRMSG])
        result = _result(push)
        if result is None:
            raise MediaUnavailable(UNKNOWN, "the push says no result")
        return _verdict(kind, *result, 2, appid, trace_id, detail)
    status, risky = push.get("status_code"), push.get("isrisky")
    if status != OK:
        raise MediaUnavailable(
            UNKNOWN if status is None else status,
            _V1_FAILURES.get(status or 0, "the file could not be fetched or judged"),
        )
    if risky not in (0, 1):
        raise MediaUnavailable(UNKNOWN, "the push says no isrisky")
    suggest: Suggest = "risky" if risky else "pass"
    return _verdict(kind, suggest, OTHER if risky else NORMAL, 1, appid, trace_id, detail)


def _verdict(
    kind: Kind,
    suggest: Suggest,
    label: int,
    version: Literal[1, 2],
    appid: str,
    trace_id: str | None,
    detail: list[dict[str, Any]],
) -> Verdict:
    # 'detail', which may quote the user's text, stays last: displays of a result cut it off there
    return {
        "kind": kind,
        "suggest": suggest,
        "label": label,
        "version": version,
        "appid": appid,
        "trace_id": trace_id,
        "detail": detail,
    }


def _result(data: dict[str, Any]) -> tuple[Suggest, int] | None:
    result = data.get("result")
    if not isinstance(result, dict) or result.get("suggest") not in ("pass", "review", "risky"):
        return None
    suggest = cast(Suggest, result["suggest"])
    label = integer(result.get("label"))
    if label is None:
        label = NORMAL if suggest == "pass" else OTHER
    return suggest, label


def _trace_id(data: dict[str, Any]) -> str | None:
    trace_id = data.get("trace_id")
    if not isinstance(trace_id, str):
        return None
    return trace_id.strip() if _TRACE_ID.fullmatch(trace_id.strip()) else None


def _detail(data: dict[str, Any]) -> list[dict[str, Any]]:
    detail = data.get("detail")
    entries = detail if isinstance(detail, list) else [detail]
    return [entry for entry in entries if isinstance(entry, dict)]
