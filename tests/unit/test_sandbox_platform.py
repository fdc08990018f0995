"""The sandbox reads a check's body as the platform does, with its mistakes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.answers import Refused
from sandbox.platform import TEST_PARAGRAPHS, read_body, read_media, read_text
from sandbox.scenarios import NOTHING, ScenarioError

OPENID = "o4_t144jTUSEoxydysUA2E234_tc"
V2 = {"version": 2, "scene": 2, "openid": OPENID}


def raw(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()


def refused(read: Any, body: bytes) -> int:
    with pytest.raises(Refused) as caught:
        read(body)
    return caught.value.errcode


@pytest.mark.parametrize("body", [b"{", b"\xff{}", b"[]", b"null", b'"x"', b"[" * 100_000, b'{"content": "\xd6\xd0"}'])
def test_a_body_that_is_no_json_object_in_utf8_is_refused(body: bytes) -> None:
    assert refused(read_text, body) == 47001


@pytest.mark.parametrize("body", [b"", b" \n", b"{}", b'{"content":""}', b'{"content":null}'])
def test_an_empty_text_is_refused(body: bytes) -> None:
    assert refused(read_text, body) == 44002


def test_escapes_are_not_undone() -> None:
    body, hidden = read_body(b'{"a":"\\u4e2d","b":"\\u0041","c":"\\\\u4e2d","d":"\\n\\"\\/"}')
    assert body == {"a": "\\u4e2d", "b": "\\u0041", "c": "\\u4e2d", "d": '\n"/'}
    assert hidden


@pytest.mark.parametrize("body", [b'{"a":"\\u0001 \\u0041"}', b'{"a":"\\\\u4e2d"}'])
def test_escaped_ascii_and_escaped_backslashes_hide_nothing(body: bytes) -> None:
    assert not read_body(body)[1]


#: as WeChat's documentation prints them, in Chinese and in English
PARAGRAPHS = [
    "特3456书yuuo莞6543李zxcz蒜7782法fgnv级",
    "完2347全dfji试3726测asad感3847知qwez到",
    "Special 3456 book yuuo guan 6543 li zxcz garlic 7782 fa fgnv grade",
    "Finished 2347 all dfji test 3726 test asad feeling 3847 know qwez to",
]


@pytest.mark.parametrize("paragraph", PARAGRAPHS)
def test_the_test_paragraphs_are_risky_under_version_1_only(paragraph: str) -> None:
    assert read_text(raw({"content": f"x{paragraph}x"})).scenario.suggest == "risky"
    assert read_text(raw({"content": paragraph, **V2})).scenario.suggest is None


def test_escaped_chinese_is_not_read() -> None:
    assert read_text(json.dumps({"content": TEST_PARAGRAPHS[0]}).encode()).scenario is NOTHING
    assert read_text(json.dumps({"content": "坏 sandbox:risky"}).encode()).scenario is NOTHING
    assert read_text(json.dumps({"content": "bad sandbox:risky"}).encode()).scenario.suggest == "risky"


def test_a_v1_text_is_read_up_to_500_kilobytes() -> None:
    risky = "sandbox:risky "
    assert read_text(raw({"content": risky + "a" * (512_000 - len(risky))})).scenario.suggest == "risky"
    assert read_text(raw({"content": risky + "a" * (512_001 - len(risky))})).scenario is NOTHING
    assert read_text(raw({"content": risky + "中" * 170_663})).scenario is NOTHING


def test_a_v2_text_has_at_most_2500_characters() -> None:
    assert read_text(raw({"content": "中" * 2_500, **V2})).version == 2
    assert refused(read_text, raw({"content": "中" * 2_501, **V2})) == 45002


def test_a_v2_text_is_judged_with_its_title_nickname_and_signature() -> None:
    for name in ("title", "nickname", "signature"):
        assert read_text(raw({"content": "x", name: "sandbox:review", **V2})).scenario.suggest == "review"


@pytest.mark.parametrize("openid", [None, "", "x", 7, "o 4_t144jTUSEoxydysUA2E234_tc", "x4_t144jTUSEoxydysUA2E234_tc"])
def test_version_2_needs_an_openid(openid: object) -> None:
    assert refused(read_text, raw({"content": "x", **V2, "openid": openid})) == 40003


@pytest.mark.parametrize("scene", [None, 0, 5, "2", True])
def test_version_2_needs_a_scene_from_1_to_4(scene: object) -> None:
    assert refused(read_text, raw({"content": "x", **V2, "scene": scene})) == 40129


def test_openid_and_scene_alone_do_not_make_version_2() -> None:
    assert read_text(raw({"content": "x", "scene": 2, "openid": OPENID})).version == 1


@pytest.mark.parametrize("media_type", [None, 0, 3, "2", "image", True])
def test_media_need_a_type_of_1_or_2(media_type: object) -> None:
    assert refused(read_media, raw({"media_url": "https://x/a.jpg", "media_type": media_type})) == 40004


def test_media_are_audio_or_image() -> None:
    assert read_media(raw({"media_url": "https://x/a.mp3", "media_type": 1})).kind == "audio"
    assert read_media(raw({"media_url": "https://x/a.jpg", "media_type": 2, **V2})).kind == "image"


@pytest.mark.parametrize(("url", "errcode"), [(None, 44002), ("", 44002), (7, 47001)])
def test_media_need_a_url(url: object, errcode: int) -> None:
    assert refused(read_media, raw({"media_url": url, "media_type": 2})) == errcode


def test_a_cloud_url_is_taken_and_cannot_be_fetched() -> None:
    assert read_media(raw({"media_url": "cloud://env/a.jpg", "media_type": 2})).scenario.error == -1008


def test_an_unknown_directive_is_told() -> None:
    with pytest.raises(ScenarioError):
        read_media(raw({"media_url": "https://x/a.jpg?sandbox=risqy", "media_type": 2}))
