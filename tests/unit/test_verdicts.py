"""A verdict that is missing is never a pass."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.names import MAX_ERRMSG
from wechat.answers import Answer
from wechat.verdicts import NoVerdict, accepted_trace_id, media_verdict, text_verdict
from wxcheck import MediaUnavailable

APPID = "wx0123456789abcdef"


def text(version: Literal[1, 2], errcode: int = 0, **data: Any) -> Any:
    return text_verdict(Answer(errcode, "", {"errcode": errcode, **data}), version, APPID)


def media(**push: Any) -> Any:
    return media_verdict({"trace_id": "t", **push}, "image", APPID)


def test_a_version_1_text_passes_or_is_risky() -> None:
    shared = {"kind": "text", "version": 1, "appid": APPID, "trace_id": None, "detail": []}
    assert text(1) == {**shared, "suggest": "pass", "label": 100}
    assert text(1, 87014) == {**shared, "suggest": "risky", "label": 21000}


def test_a_version_2_text_has_its_label_its_trace_id_and_its_details() -> None:
    detail = [{"strategy": "keyword", "errcode": 0}, {"strategy": "content_model", "errcode": -1, "suggest": "risky"}]
    verdict = text(2, result={"suggest": "review", "label": "20001"}, detail=detail, trace_id="a-b-c")
    assert verdict == {
        "kind": "text",
        "suggest": "review",
        "label": 20001,
        "version": 2,
        "appid": APPID,
        "trace_id": "a-b-c",
        "detail": detail,
    }


def test_a_version_1_answer_that_has_a_result_is_judged_by_it() -> None:
    assert text(1, result={"suggest": "risky", "label": 20002})["suggest"] == "risky"


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"result": None},
        {"result": "pass"},
        {"result": {}},
        {"result": {"label": 100}},
        {"result": {"suggest": "ok"}},
    ],
)
def test_a_version_2_answer_without_a_readable_result_is_no_verdict(data: dict[str, Any]) -> None:
    with pytest.raises(NoVerdict, match="without a result"):
        text(2, **data)


@pytest.mark.parametrize(("suggest", "label"), [("pass", 100), ("review", 21000), ("risky", 21000)])
@pytest.mark.parametrize("said", [None, "many", 1.5])
def test_a_label_that_cannot_be_read_does_not_change_the_verdict(suggest: str, label: int, said: object) -> None:
    verdict = text(2, result={"suggest": suggest, "label": said})
    assert (verdict["suggest"], verdict["label"]) == (suggest, label)


def test_details_that_are_no_objects_are_left_out() -> None:
    result = {"suggest": "pass", "label": 100}
    assert text(2, result=result, detail="none")["detail"] == []
    assert text(2, result=result, detail=[None, {"errcode": 0}, "x"])["detail"] == [{"errcode": 0}]


def test_details_come_last_so_that_what_is_shown_of_a_result_ends_before_them() -> None:
    assert list(text(2, result={"suggest": "pass"}, detail=[{"keyword": "hush"}]))[-1] == "detail"
    assert list(media(version=1, isrisky=0, status_code=0))[-1] == "detail"


def test_a_taken_media_check_has_a_trace_id() -> None:
    assert accepted_trace_id(Answer(0, "ok", {"trace_id": "abc"})) == "abc"


@pytest.mark.parametrize("data", [{}, {"trace_id": ""}, {"trace_id": None}, {"trace_id": 17}])
def test_an_answer_without_a_trace_id_is_no_receipt(data: dict[str, Any]) -> None:
    with pytest.raises(NoVerdict, match="without a trace_id"):
        accepted_trace_id(Answer(0, "ok", data))


def test_a_refusal_is_no_receipt_even_with_a_trace_id() -> None:
    with pytest.raises(NoVerdict):
        accepted_trace_id(Answer(-1, "busy", {"trace_id": "abc"}))


@pytest.mark.parametrize(
    ("push", "errcode"),
    [
        ({"version": 2, "errcode": -1008, "errmsg": "下载错误", "result": None}, -1008),
        ({"version": 2, "errcode": 43104, "errmsg": "", "result": None}, 43104),
        ({"version": 2, "errcode": None, "errmsg": ""}, -1),
        ({"version": 2, "errcode": -1008, "errmsg": "", "result": {"suggest": "pass", "label": 100}}, -1008),
        ({"version": 2, "errcode": 0, "errmsg": "ok", "result": None}, -1),
        ({"version": 1, "isrisky": 0, "status_code": -1008}, -1008),
        ({"version": 1, "isrisky": 1, "status_code": -1009}, -1009),
        ({"version": 1, "isrisky": 0, "status_code": None}, -1),
        ({"version": 1, "isrisky": None, "status_code": 0}, -1),
        ({"version": 1, "isrisky": 2, "status_code": 0}, -1),
        ({}, -1),
    ],
)
def test_a_push_without_a_verdict_is_a_failure_that_tells_its_code(push: dict[str, Any], errcode: int) -> None:
    with pytest.raises(MediaUnavailable) as failure:
        media(**push)
    assert failure.value.args == (errcode, failure.value.errmsg)
    assert failure.value.errmsg
    assert push.get("errmsg") in (None, "", "ok", failure.value.errmsg)


def test_a_long_errmsg_of_a_push_is_cut_as_an_answers_is() -> None:
    with pytest.raises(MediaUnavailable) as failure:
        media(version=2, errcode=-1008, errmsg="x" * 400_000, result=None)
    assert failure.value.args == (-1008, "x" * MAX_ERRMSG)
    assert len(str(failure.value)) < 2 * MAX_ERRMSG


def test_a_push_whose_details_contradict_its_result_says_so() -> None:
    with pytest.raises(MediaUnavailable, match="no errcode") as failure:
        media(version=2, errcode=None, errmsg="ok", result={"suggest": "pass", "label": 100})
    assert "details" in failure.value.errmsg


def test_one_detail_of_an_answer_is_a_list_of_one() -> None:
    assert text(2, result={"suggest": "pass"}, detail={"errcode": 0})["detail"] == [{"errcode": 0}]


def test_blanks_around_the_trace_id_of_an_answer_are_no_part_of_it() -> None:
    assert accepted_trace_id(Answer(0, "ok", {"trace_id": " abc\n"})) == "abc"


def test_a_push_of_version_1_passes_or_is_risky() -> None:
    assert media(version=1, isrisky=0, status_code=0)["suggest"] == "pass"
    risky = media(version=1, isrisky=1, status_code=0)
    assert (risky["suggest"], risky["label"], risky["version"], risky["kind"]) == ("risky", 21000, 1, "image")


numbers = st.sampled_from([None, 0, 1, 2, -1, -1008, 43104])
results = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "suggest": st.sampled_from(["pass", "review", "risky", "PASS", "", None, 0, True, ["pass"]]),
        "label": st.sampled_from([100, 20002, "100", None]),
    },
)
pushes = st.fixed_dictionaries(
    {"trace_id": st.just("t")},
    optional={
        "version": st.sampled_from([1, 2, None, 3, "2"]),
        "errcode": numbers,
        "errmsg": st.sampled_from(["", "ok", None]),
        "result": results,
        "isrisky": numbers,
        "status_code": numbers,
        "detail": st.sampled_from([None, [], [{"suggest": "pass", "errcode": 0}]]),
    },
)


@given(pushes)
def test_no_push_passes_unless_it_says_so(push: dict[str, Any]) -> None:
    try:
        verdict = media_verdict(push, "audio", APPID)
    except MediaUnavailable as failure:
        # the failure is stored as JSON, and must be the same again
        errcode, errmsg = json.loads(json.dumps(failure.args))
        assert isinstance(errcode, int)
        assert isinstance(errmsg, str)
        return
    assert set(verdict) == {"kind", "suggest", "label", "version", "appid", "trace_id", "detail"}
    if verdict["suggest"] == "pass":
        new = push.get("version") == 2 and push["errcode"] == 0 and push["result"]["suggest"] == "pass"
        old = push.get("version") != 2 and push["isrisky"] == 0 and push["status_code"] == 0
        assert new or old
