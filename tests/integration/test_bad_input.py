"""Callers that send what they should not, and a platform that answers so, get an end by name.

Tests: tasks.text, tasks.media, tasks.check
"""

from __future__ import annotations

import math
import uuid
from typing import Any

import pytest

import wxcheck
from store.places.shard import SHARD
from tests.support.checks import V2, ended, failure_of, picture, send_media, send_text, verdict_of, words
from tests.support.processes import eventually
from tests.support.system import System
from wechat.checks import MEDIA_PATH, TEXT_PATH
from wechat.token_calls import STABLE_TOKEN_PATH

#: bytes of UTF-8
LONGEST_V1 = 512_000
#: characters
LONGEST_V2 = 2_500


def padded(start: str, filling: str, length: int) -> str:
    """A text of ``length`` bytes of UTF-8 that begins with ``start``; what a character would cut in two is spaces."""
    missing = length - len(start.encode())
    return start + filling * (missing // len(filling.encode())) + " " * (missing % len(filling.encode()))


def refused(result: Any) -> str:
    """Waits until a check is refused before any call; its message."""
    failure = failure_of(result)
    assert isinstance(failure, wxcheck.InvalidCheck)
    assert failure.args == (failure.message,)
    return failure.message


@pytest.mark.parametrize("filling", ["a", "é", "汉", "🙂"])
def test_a_text_of_500_KB_is_read_to_its_end(system: System, filling: str) -> None:
    text = padded(f"{uuid.uuid4().hex} ", filling, LONGEST_V1 - 14) + " sandbox:risky"
    assert len(text.encode()) == LONGEST_V1
    assert verdict_of(send_text(system.app, text))["suggest"] == "risky"


@pytest.mark.parametrize("filling", ["a", "é", "汉", "🙂"])
def test_a_text_of_one_byte_more_is_refused_without_a_call(system: System, filling: str) -> None:
    text = padded("", filling, LONGEST_V1 - 13) + " sandbox:risky"
    assert len(text.encode()) == LONGEST_V1 + 1
    assert "512001 bytes" in refused(send_text(system.app, text))
    assert system.calls(TEXT_PATH) == 0


@pytest.mark.parametrize("filling", ["a", "汉", "🙂"])
def test_version_2_reads_2500_characters_and_refuses_one_more(system: System, filling: str) -> None:
    end = " sandbox:risky"
    text = filling * (LONGEST_V2 - len(end)) + end
    assert verdict_of(send_text(system.app, text, **V2))["suggest"] == "risky"
    assert "2501 characters" in refused(send_text(system.app, filling + text, **V2))
    assert system.calls(TEXT_PATH) == 1


def test_a_text_goes_out_as_raw_utf_8_so_that_what_stands_beside_chinese_is_read(system: System) -> None:
    for user in ({}, V2):
        for text in ("汉字 sandbox:risky", '"\\u6c49" 汉字 🙂 sandbox:risky'):
            assert verdict_of(send_text(system.app, text, **user))["suggest"] == "risky"
    assert verdict_of(send_text(system.app, "a", title="标题 sandbox:risky", **V2))["suggest"] == "risky"


TEXTS: list[tuple[str, dict[str, Any], str]] = [
    ("no content", {}, "content: a NoneType, not a string"),
    ("empty content", {"content": ""}, "content: empty"),
    ("a number", {"content": 17}, "content: a int, not a string"),
    ("a list", {"content": ["hush"]}, "content: a list, not a string"),
    ("an object", {"content": {"hush": 1}}, "content: a dict, not a string"),
    ("a lone high surrogate", {"content": "hush \ud83d"}, "content: lone surrogate at 5"),
    ("a lone low surrogate", {"content": "\ude42 hush"}, "content: lone surrogate at 0"),
    ("surrogates the wrong way round", {"content": "\ude42\ud83d"}, "content: lone surrogate at 0"),
    ("NUL", {"content": "hush\x00"}, "content: control character U+0000 at 4"),
    ("an escape character", {"content": "\x1b[2J"}, "content: control character U+001B at 0"),
    ("an unknown argument", {"content": "hush", "contents": "hush"}, "unexpected keyword argument 'contents'"),
    ("an openid without scene", {"content": "hush", "openid": "o" * 28}, "scene: missing"),
    ("a scene without openid", {"content": "hush", "scene": 1}, "openid: missing"),
    ("scene 5", {"content": "hush", **V2, "scene": 5}, "scene: 5 is none of 1"),
    ("scene 0", {"content": "hush", **V2, "scene": 0}, "scene: 0 is none of 1"),
    ("a scene that is a string", {"content": "hush", **V2, "scene": "1"}, "scene: '1' is none of 1"),
    ("a scene that is true", {"content": "hush", **V2, "scene": True}, "scene: True is none of 1"),
    ("an openid that is a number", {"content": "hush", **V2, "openid": 1}, "openid: not a string of 1 to 128"),
    ("an empty openid", {"content": "hush", **V2, "openid": ""}, "openid: not a string of 1 to 128"),
    ("an unknown appid", {"content": "hush", "appid": "wxunknown"}, "appid: 'wxunknown' is not configured"),
    ("an appid that is a list", {"content": "hush", "appid": ["x"]}, "appid: list is not configured"),
    ("a title in version 1", {"content": "hush", "title": "hush"}, "title: only read with openid and scene"),
    ("an empty title", {"content": "hush", **V2, "title": ""}, "title: empty"),
    ("a signature in scene 2", {"content": "hush", **V2, "signature": "hush"}, "signature: only read in scene 1"),
    ("a nickname with a surrogate", {"content": "hush", **V2, "nickname": "\ud800"}, "nickname: lone surrogate at 0"),
]


@pytest.mark.parametrize(("arguments", "message"), [case[1:] for case in TEXTS], ids=[case[0] for case in TEXTS])
def test_a_text_check_with_a_wrong_argument_is_refused(system: System, arguments: dict[str, Any], message: str) -> None:
    told = refused(system.app.send_task(wxcheck.CHECK_TEXT, kwargs=arguments, queue=wxcheck.TEXT_QUEUE))
    assert message in told if arguments else "arguments: missing a required argument: 'content'" in told
    assert "hush" not in told
    assert system.sandbox_stats()["calls"] == {}


URL = "https://img.example.com/hush.jpg"

MEDIA: list[tuple[str, dict[str, Any], str]] = [
    ("a cloud id", {"media_url": "cloud://hush.jpg"}, "media_url: no http(s) URL (cloud:)"),
    ("ftp", {"media_url": "ftp://hush.example/a.jpg"}, "media_url: no http(s) URL (ftp:)"),
    ("javascript", {"media_url": "javascript:hush"}, "media_url: no http(s) URL (javascript:)"),
    ("a file's path", {"media_url": "/tmp/hush.jpg"}, "media_url: no http(s) URL;"),  # noqa: S108
    ("no host", {"media_url": "https:///hush.jpg"}, "media_url: no http(s) URL (https:)"),
    ("a port that is no number", {"media_url": "https://hush.example:x/"}, "media_url: no http(s) URL (https:)"),
    ("a bracket that is left open", {"media_url": "https://[hush/"}, "media_url: no http(s) URL (https:)"),
    ("a space", {"media_url": "https://img.example.com/hush 1.jpg"}, "media_url: no http(s) URL (https:)"),
    ("two lines", {"media_url": "https://img.example.com/\nhush"}, "media_url: no http(s) URL (https:)"),
    ("too long", {"media_url": URL.ljust(2_049, "x")}, "media_url: 2049 characters, more than 2048"),
    ("empty", {"media_url": ""}, "media_url: empty"),
    ("a list", {"media_url": [URL]}, "media_url: a list, not a string"),
    ("a verdict", {"media_url": {"kind": "text"}}, "media_url: a dict, not a string"),
    ("nothing", {}, "arguments: missing a required argument: 'media_url'"),
    ("video", {"media_url": URL, "media_type": "video"}, "media_type: 'video' is none of"),
    ("type 3", {"media_url": URL, "media_type": 3}, "media_type: 3 is none of"),
    ("type true", {"media_url": URL, "media_type": True}, "media_type: True is none of"),
    ("type 2 as a string", {"media_url": URL, "media_type": "2"}, "media_type: '2' is none of"),
    ("type a list", {"media_url": URL, "media_type": ["image"]}, "media_type: list is none of"),
    ("an unknown argument", {"media_url": URL, "url": URL}, "unexpected keyword argument 'url'"),
    ("an openid without scene", {"media_url": URL, "openid": "o" * 28}, "scene: missing"),
    ("scene 5", {"media_url": URL, **V2, "scene": 5}, "scene: 5 is none of"),
    ("an unknown appid", {"media_url": URL, "appid": "wxunknown"}, "appid: 'wxunknown' is not configured"),
]


@pytest.mark.parametrize(("arguments", "message"), [case[1:] for case in MEDIA], ids=[case[0] for case in MEDIA])
def test_a_media_check_with_a_wrong_argument_is_refused(
    system: System, arguments: dict[str, Any], message: str
) -> None:
    told = refused(system.app.send_task(wxcheck.CHECK_MEDIA, kwargs=arguments, queue=wxcheck.MEDIA_QUEUE))
    assert message in told
    assert "hush" not in told
    assert system.sandbox_stats()["calls"] == {}


def test_too_many_arguments_are_refused(system: System) -> None:
    result = system.app.send_task(wxcheck.CHECK_TEXT, args=["a"] * 8, queue=wxcheck.TEXT_QUEUE)
    assert "too many positional arguments" in refused(result)


@pytest.mark.parametrize("number", [math.nan, math.inf, 10**400])
def test_a_scene_that_is_no_number_of_ours_is_refused(system: System, number: float) -> None:
    assert "scene: " in refused(send_text(system.app, "a", openid="o" * 28, scene=number))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("http=502", "HTTP 502"),
        ("html", "HTTP 200 without JSON"),
        ("garbage", "HTTP 200 without JSON"),
        ("http=404", "HTTP 404 without JSON"),
        ("reset", "connection lost"),
    ],
)
def test_an_answer_that_says_nothing_is_retried_in_texts_often_in_media_once(
    system: System, fault: str, reason: str
) -> None:
    recovering = send_text(system.app, words(f"{fault}*2", "risky"))
    once, twice = send_media(system.app, picture(f"{fault}*1", "risky")), send_media(system.app, picture(f"{fault}*2"))
    lasting = send_text(system.app, words(fault))
    assert verdict_of(recovering)["suggest"] == "risky"
    assert verdict_of(once)["suggest"] == "risky"
    for failing in (twice, lasting):
        failure = failure_of(failing)
        assert (type(failure), failure.args) == (wxcheck.PlatformUnavailable, (reason,))
    assert system.calls(TEXT_PATH) == 3 + 5
    assert system.calls(MEDIA_PATH) == 2 + 2


def test_an_answer_later_than_api_timeout_is_given_up_and_asked_for_again(system: System) -> None:
    slow = [
        send_text(system.app, words("slow=7*1", "risky")),
        send_media(system.app, picture("slow=7*1", "risky")),
        send_media(system.app, picture("slow=7*2")),
    ]
    assert [verdict_of(result)["suggest"] for result in slow[:2]] == ["risky", "risky"]
    assert failure_of(slow[2]).args == ("no answer within the time-out",)
    # the platform had taken the pictures all the same: verdicts come that nobody can tell whose they are
    eventually(lambda: system.redis.hlen(SHARD.key("early")) == 3, "they are kept for a while")


@pytest.mark.parametrize("user", [{}, V2], ids=["version 1", "version 2"])
def test_a_media_answer_without_trace_id_is_asked_for_once_more(system: System, user: dict[str, Any]) -> None:
    failure = failure_of(send_media(system.app, picture("no_trace_id", "lost"), **user))
    assert (type(failure), failure.args) == (wxcheck.PlatformUnavailable, ("an answer without a trace_id",))
    assert system.calls(MEDIA_PATH) == 2


def test_a_version_2_text_without_result_is_no_pass(system: System) -> None:
    failure = failure_of(send_text(system.app, words("no_result"), **V2))
    assert (type(failure), failure.args) == (wxcheck.PlatformUnavailable, ("an answer without a result",))


def test_a_version_2_text_without_trace_id_has_a_verdict_all_the_same(system: System) -> None:
    verdict = verdict_of(send_text(system.app, words("no_trace_id", "review"), **V2))
    assert (verdict["suggest"], verdict["trace_id"]) == ("review", None)


@pytest.mark.parametrize("user", [{}, V2], ids=["version 1", "version 2"])
def test_answers_in_camel_case_are_read(system: System, user: dict[str, Any]) -> None:
    assert verdict_of(send_text(system.app, words("camel", "risky"), **user))["suggest"] == "risky"
    assert verdict_of(send_media(system.app, picture("camel", "risky"), **user))["suggest"] == "risky"
    assert failure_of(send_media(system.app, picture("camel", "61010"), **user)).args[0] == 61010


def test_labels_and_numbers_that_come_as_strings_are_read(system: System) -> None:
    system.tell_sandbox(string_labels=True)
    text = verdict_of(send_text(system.app, words("label=20002"), **V2))
    old = verdict_of(send_media(system.app, picture("risky")))
    new = verdict_of(send_media(system.app, picture("label=20002"), **V2))
    assert [verdict["suggest"] for verdict in (text, old, new)] == ["risky"] * 3
    assert [verdict["label"] for verdict in (text, old, new)] == [20002, 21000, 20002]
    assert failure_of(send_media(system.app, picture("unfetchable"))).args[0] == -1008


PERMANENT = [87020, 61010, 40003, 43104, 40129, 40004, 43002, 43302, 44002, 47001, 40033, 48001, 61007, 40164]
PERMANENT += [40234, 40235]
PERMANENT += [40013, 40125, 40243, 41002, 41004, 50004, 50007, 89503, 89506, 89507, 99999, -2, 1]


@pytest.mark.parametrize("errcode", PERMANENT)
def test_a_permanent_error_code_refuses_the_check_at_once(system: System, errcode: int) -> None:
    for send, content in ((send_text, words), (send_media, picture)):
        system.forget()  # some of them stop the appId
        failure = failure_of(send(system.app, content(str(errcode))))
        assert (type(failure), failure.args[0]) == (wxcheck.CheckRefused, errcode)
    assert (system.calls(TEXT_PATH), system.calls(MEDIA_PATH)) == (1, 1)


def test_87014_is_a_verdict_on_a_text_and_a_refusal_of_a_picture(system: System) -> None:
    for user in ({}, V2):
        verdict = verdict_of(send_text(system.app, words("87014"), **user))
        assert (verdict["suggest"], verdict["label"]) == ("risky", 21000)
    assert type(failure_of(send_media(system.app, picture("87014")))) is wxcheck.CheckRefused


@pytest.mark.parametrize("errcode", [40001, 40014, 42001, 41001])
def test_a_refused_token_is_renewed_once_and_the_call_made_once_more(system: System, errcode: int) -> None:
    assert verdict_of(send_text(system.app, words(f"{errcode}*1", "risky")))["suggest"] == "risky"
    assert (system.calls(TEXT_PATH), system.calls(STABLE_TOKEN_PATH)) == (2, 2)
    for failing in (send_text(system.app, words(str(errcode))), send_media(system.app, picture(str(errcode)))):
        failure = failure_of(failing)
        assert (type(failure), failure.args) == (wxcheck.PlatformUnavailable, (errcode,))
    assert (system.calls(TEXT_PATH), system.calls(MEDIA_PATH)) == (4, 2)


@pytest.mark.parametrize("errcode", [48001, 40234, 40235])
def test_the_code_that_stopped_an_appid_fails_its_next_checks_without_a_call(system: System, errcode: int) -> None:
    first = failure_of(send_text(system.app, words(str(errcode))))
    others = [ended(send_media(system.app, picture())), ended(send_text(system.app, words()))]
    assert [failure_of(result).args for result in others] == [first.args] * 2
    assert (system.calls(TEXT_PATH), system.calls(MEDIA_PATH)) == (1, 0)
