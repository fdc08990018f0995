"""The bodies of calls are what the platform reads, and a value that is refused is told without being quoted.

Tests: wechat.checks
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Settings
from wechat.checks import (
    MEDIA_PATH,
    TEXT_PATH,
    URL_CHARACTERS,
    V1_TEXT_BYTES,
    V2_TEXT_CHARACTERS,
    media_check,
    text_check,
)
from wxcheck import InvalidCheck

APPID = "wx0123456789abcdef"
V2: dict[str, Any] = {"openid": "oABC-_1", "scene": 1}


def settings(**more: Any) -> Settings:
    return Settings(_env_file=None, appid=APPID, secret="s", **more)


def text(*args: Any, **kwargs: Any) -> Any:
    return text_check(args, kwargs, settings())


def media(*args: Any, **kwargs: Any) -> Any:
    return media_check(args, kwargs, settings())


def refusal(check: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(InvalidCheck) as failure:
        check(*args, **kwargs)
    return failure.value.message


def test_a_version_1_text_is_its_content_alone_in_raw_utf_8() -> None:
    check = text("汉字 🙂")
    assert (check.appid, check.lane, check.kind, check.version, check.path) == (APPID, "text", "text", 1, TEXT_PATH)
    assert check.body == '{"content": "汉字 🙂"}'.encode()


def test_a_version_2_text_says_who_wrote_what_where() -> None:
    check = text("a", **V2, title="标", nickname="n", signature="s")
    assert check.version == 2
    assert json.loads(check.body) == {
        "content": "a",
        "version": 2,
        **V2,
        "title": "标",
        "nickname": "n",
        "signature": "s",
    }


@pytest.mark.parametrize(
    ("media_type", "number", "kind"), [("image", 2, "image"), (2, 2, "image"), ("audio", 1, "audio"), (1, 1, "audio")]
)
def test_a_media_type_is_a_name_or_the_platforms_number(media_type: Any, number: int, kind: str) -> None:
    check = media("https://a.example/b", media_type)
    assert (check.lane, check.kind, check.version, check.path) == ("media", kind, 1, MEDIA_PATH)
    assert json.loads(check.body) == {"media_url": "https://a.example/b", "media_type": number}


def test_a_media_check_is_of_a_picture_unless_it_says_so() -> None:
    assert media("https://a.example/b").kind == "image"


def test_a_version_2_media_check_says_whose_file_it_is() -> None:
    check = media(media_url="http://a.example/b", media_type="audio", **V2)
    assert json.loads(check.body) == {"media_url": "http://a.example/b", "media_type": 1, "version": 2, **V2}


def test_an_argument_that_is_none_is_one_left_out() -> None:
    check = text("a", openid=None, scene=None, title=None, appid=None)
    assert check.body == text("a").body


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters=[chr(n) for n in range(32)]), min_size=1))
def test_every_text_without_control_characters_goes_out_as_it_is(content: str) -> None:
    body = text(content).body
    assert json.loads(body.decode("utf-8")) == {"content": content}
    # WeChat does not unescape
    assert b"\\u" not in body.replace(b"\\\\", b"")


@pytest.mark.parametrize("content", ["a\tb", "a\nb", "a\r\nb"])
def test_a_text_may_have_lines_and_tabs(content: str) -> None:
    assert json.loads(text(content).body) == {"content": content}


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=4))
def test_any_json_value_in_any_place_is_a_check_or_an_invalid_check(value: Any) -> None:
    for name in ["content", "openid", "scene", "title", "nickname", "signature", "appid"]:
        with suppress(InvalidCheck):
            assert text(**{"content": "a", **V2, name: value}).version == 2
    for name in ["media_url", "media_type", "openid", "scene", "appid"]:
        with suppress(InvalidCheck):
            assert media(**{"media_url": "https://a.example/", **V2, name: value}).version == 2


@given(st.text(min_size=1, max_size=60))
def test_a_url_is_http_with_a_host_or_is_refused_without_being_quoted(url: str) -> None:
    # a mark that no message holds by chance
    marked = f"{url}#hush"
    with suppress(InvalidCheck):
        assert json.loads(media(marked).body)["media_url"].lower().startswith(("http://", "https://"))
        return
    assert "hush" not in refusal(media, marked)


@pytest.mark.parametrize(
    "url",
    [
        "http://a",
        "HTTPS://A.example/B.JPG",
        "https://a.example:8443/b?c=d&e=%20#f",
        "http://[::1]/a",
        "https://例子.cn/图",
    ],
)
def test_an_http_url_is_sent_as_it_is(url: str) -> None:
    assert json.loads(media(url).body)["media_url"] == url


def test_the_longest_values_are_taken_and_one_more_is_not() -> None:
    text("é" * (V1_TEXT_BYTES // 2))
    assert f"{V1_TEXT_BYTES + 1} bytes" in refusal(text, "é" * (V1_TEXT_BYTES // 2) + "a")
    text("🙂" * V2_TEXT_CHARACTERS, **V2)
    assert "2501 characters" in refusal(text, "a" * (V2_TEXT_CHARACTERS + 1), **V2)
    media("https://a.example/".ljust(URL_CHARACTERS, "x"))
    assert "2049 characters" in refusal(media, "https://a.example/".ljust(URL_CHARACTERS + 1, "x"))
    text("a", openid="o" * 128, scene=1)
    assert "openid" in refusal(text, "a", openid="o" * 129, scene=1)


def test_a_longer_text_that_version_2_refuses_version_1_takes() -> None:
    assert text("a" * (V2_TEXT_CHARACTERS + 1)).version == 1


def test_an_unknown_argument_is_told_with_those_that_there_are() -> None:
    told = refusal(text, "a", contents="b")
    assert "'contents'" in told
    assert "content, openid, scene, title, nickname, signature, appid" in told
    assert "media_url, media_type, openid, scene, appid" in refusal(media)


def test_a_check_may_name_any_configured_mini_program() -> None:
    more = settings(apps={"wxother": {"secret": "s"}})
    assert text_check(["a"], {"appid": "wxother"}, more).appid == "wxother"
    assert text_check(["a"], {}, more).appid == APPID


def test_a_check_without_an_appid_is_refused_where_none_is_the_default() -> None:
    several = Settings(_env_file=None, apps={"wxa": {"secret": "s"}, "wxb": {"secret": "s"}})
    told = refusal(lambda: text_check(["a"], {}, several))
    assert told == "appid: missing, and none is the default; one of wxa, wxb"


def test_a_check_shows_nothing_of_its_content() -> None:
    for check in (text("hush"), media("https://a.example/hush")):
        assert "hush" not in repr(check)
        assert "hush" not in str(check)
