"""Whatever the platform sends, it is an answer or Unanswered.

Tests: wechat.answers
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wechat.answers import Answer, Unanswered, integer, read_answer

statuses = st.sampled_from([200, 201, 301, 400, 404, 429, 500, 502, 599])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)
answers = st.dictionaries(
    st.sampled_from(["errcode", "errCode", "errmsg", "errMsg", "trace_id", "traceId", "result", "access_token"]),
    json_values,
)


def read_or_unanswered(status: int, body: bytes) -> None:
    try:
        answer = read_answer(status, body)
    except Unanswered:
        return
    assert status < 500
    assert type(answer.errcode) is int
    assert isinstance(answer.errmsg, str)
    assert answer.rid is None or answer.rid in answer.errmsg


@given(statuses, st.binary())
@example(200, b"")
@example(200, b"\xff\xfe")
@example(200, b"[" * 200_000)
@example(200, b'{"a":' * 200_000)
@example(200, b'{"errcode":' + b"9" * 10_000 + b"}")
@example(200, b'{"errcode":1e999}')
@example(200, b'{"errcode":NaN}')
@example(200, b'\xef\xbb\xbf{"errcode":0}')
@example(200, b'{"errcode":0,"errmsg":"\\ud800"}')
def test_any_bytes_are_an_answer_or_unanswered(status: int, body: bytes) -> None:
    read_or_unanswered(status, body)


@given(statuses, json_values | answers)
def test_any_json_is_an_answer_or_unanswered(status: int, value: Any) -> None:
    read_or_unanswered(status, json.dumps(value).encode())


@pytest.mark.parametrize("depth", [100, 900, 960, 970, 980, 990, 1_000, 5_000])
def test_any_depth_is_an_answer_or_unanswered(depth: int) -> None:
    read_or_unanswered(200, b'{"errcode":0,"errmsg":' + b"[" * depth + b"]" * depth + b"}")


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (502, b"<html>502 Bad Gateway</html>", "HTTP 502"),
        (500, b'{"errcode":0,"errmsg":"ok"}', "HTTP 500"),
        (200, b"<html>Under maintenance</html>", "HTTP 200 without JSON"),
        (200, b'{"errcode":0,"errmsg":"o', "HTTP 200 without JSON"),
        (200, b"", "HTTP 200 without JSON"),
        (200, b"[0]", "HTTP 200 with JSON that is no object"),
        (200, b"0", "HTTP 200 with JSON that is no object"),
        (200, b"{}", "HTTP 200 without an errcode"),
        (200, b'{"errcode":null}', "HTTP 200 without an errcode"),
        (200, b'{"errcode":false}', "HTTP 200 without an errcode"),
        (200, b'{"errcode":0.0}', "HTTP 200 without an errcode"),
        (200, b'{"errcode":"ok"}', "HTTP 200 without an errcode"),
    ],
)
def test_what_cannot_be_used_says_in_a_few_words_what_came(status: int, body: bytes, reason: str) -> None:
    with pytest.raises(Unanswered, match=f"^{reason}$") as unanswered:
        read_answer(status, body)
    assert unanswered.value.taken


def test_an_answer_is_read_as_utf_8() -> None:
    answer = read_answer(200, '{"errcode":61010,"errmsg":"用户未在近两小时访问小程序 rid: 6a-7b-8c"}'.encode())
    assert answer.errmsg == "用户未在近两小时访问小程序 rid: 6a-7b-8c"
    assert answer.rid == "6a-7b-8c"


def test_an_answer_in_camel_case_has_the_documented_names() -> None:
    answer = read_answer(200, b'{"errCode":0,"errMsg":"openapi.security:ok","traceId":"a","result":{}}')
    assert answer == Answer(
        0,
        "openapi.security:ok",
        {"errcode": 0, "errmsg": "openapi.security:ok", "trace_id": "a", "result": {}},
    )


def test_a_token_comes_without_an_errcode() -> None:
    assert read_answer(200, b'{"access_token":"t","expires_in":7200}').errcode == 0


@pytest.mark.parametrize("errmsg", ["ok", "", "rider: none", "system error"])
def test_an_errmsg_may_have_no_rid(errmsg: str) -> None:
    assert Answer(-1, errmsg, {}).rid is None


@pytest.mark.parametrize("errmsg", ["busy rid: 65f-1a-2b", "busy, rid:65f-1a-2b", "busy rid 65f-1a-2b"])
def test_a_rid_is_found_however_it_is_set_off(errmsg: str) -> None:
    assert Answer(-1, errmsg, {}).rid == "65f-1a-2b"


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (7, 7),
        ("7", 7),
        ("-1008", -1008),
        ("20002", 20002),
        (True, None),
        (None, None),
        (1.0, None),
        ("", None),
        ("7.0", None),
        (" 7", None),
        ("٧", None),
        ("7" * 19, None),
        ([7], None),
    ],
)
def test_a_number_may_come_as_a_string_and_nothing_else(value: object, number: int | None) -> None:
    assert integer(value) == number
