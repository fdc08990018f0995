"""A push is believed for its signature alone, and read for what it says, without a server.

Tests: wechat.push.verification, wechat.push.messages, wechat.push.lenient, wechat.push.outcomes
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from config.names import MAX_ERRMSG
from config.settings import MiniProgram
from wechat.push.envelope import encrypt, sign
from wechat.push.messages import MAX_DEPTH, cleaned, cleaned_or_other, normalised_push, outline, parse, read
from wechat.push.outcomes import (
    BadSignature,
    Malformed,
    NoTraceId,
    Outcome,
    PlainRefused,
    Refusal,
    StaleTimestamp,
    Undecryptable,
    WrongAppid,
)
from wechat.push.verification import check_url, open_push, read_query

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "push.json").read_text(encoding="utf-8"))
TOKEN, KEY, APPID = VECTORS["token"], VECTORS["encoding_aes_key"], VECTORS["appid"]
ALL = {**VECTORS["official"], **VECTORS["synthetic"]}
ENCRYPTED = [name for name, vector in ALL.items() if "msg_signature" in vector]
COMPONENT = VECTORS["official"]["third_party_platform_xml"]["component_appid"]
OTHER_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
NOW = 1_700_000_000

EVENT = {"MsgType": "event", "Event": "wxa_media_check", "trace_id": "t-1"}


def program(**settings: Any) -> MiniProgram:
    quota = dict.fromkeys(("text_per_minute", "text_per_day", "media_per_minute", "media_per_day"), 1)
    given = {"appid": APPID, "push_token": TOKEN, "push_aes_key": KEY, "push_plain_allowed": False}
    return MiniProgram(**{**given, **quota, **settings})


PLAIN = program(push_aes_key=None)
SECURE = program()


def vector_body(vector: dict[str, str]) -> bytes:
    if "body" in vector:
        return vector["body"].encode()
    if "component_appid" in vector:
        return f"<xml><AppId>{APPID}</AppId><Encrypt><![CDATA[{vector['Encrypt']}]]></Encrypt></xml>".encode()
    return json.dumps({"ToUserName": "gh_97417a04a28d", "Encrypt": vector["Encrypt"]}).encode()


def vector_params(vector: dict[str, str]) -> dict[str, str]:
    return {name: vector[name] for name in ("signature", "timestamp", "nonce", "msg_signature") if name in vector}


def vector_program(vector: dict[str, str]) -> MiniProgram:
    return program(component_appid=vector.get("component_appid"))


def plain_params(now: int = NOW) -> dict[str, str]:
    return {"timestamp": str(now), "nonce": "n", "signature": sign(TOKEN, str(now), "n")}


def secured(message: bytes, *, appid: str = APPID, key: str = KEY) -> tuple[dict[str, str], str]:
    """The query and the Encrypt of a push in secure mode."""
    encrypted = encrypt(message, appid, key)
    return {**plain_params(), "msg_signature": sign(TOKEN, str(NOW), "n", encrypted)}, encrypted


def opened(mini: MiniProgram, params: dict[str, str], body: bytes, now: float = NOW) -> dict[str, Any]:
    return open_push(mini, list(params.items()), body, now)


def flips(text: str) -> Iterator[str]:
    """``text`` with one bit of one character changed, for each of their eight."""
    for place, character in enumerate(text):
        for bit in range(8):
            yield text[:place] + chr(ord(character) ^ 1 << bit) + text[place + 1 :]


# --- the published examples


@pytest.mark.parametrize("name", ENCRYPTED)
def test_a_published_push_is_accepted(name: str) -> None:
    vector = ALL[name]
    message = opened(vector_program(vector), vector_params(vector), vector_body(vector), int(vector["timestamp"]))
    if "plain" in vector:
        assert message == parse(vector["plain"].encode())
    else:
        assert message["Event"] == "debug_demo"
        assert normalised_push(message) is None


def test_the_published_url_check_is_answered_in_every_mode() -> None:
    vector = ALL["get_verify"]
    params = {name: vector[name] for name in ("signature", "timestamp", "nonce", "echostr")}
    for mini in (PLAIN, SECURE, program(push_plain_allowed=True)):
        assert check_url(mini, list(params.items()), int(vector["timestamp"])) == "4375120948345356249"


def test_the_published_plain_push_is_accepted() -> None:
    vector = ALL["post_plain"]
    assert opened(PLAIN, vector_params(vector), b'{"MsgType":"text"}', int(vector["timestamp"])) == {"MsgType": "text"}


@pytest.mark.parametrize("name", ENCRYPTED)
def test_a_published_push_with_one_bit_of_its_query_changed_is_refused(name: str) -> None:
    vector = ALL[name]
    mini, params, now = vector_program(vector), vector_params(vector), int(vector["timestamp"])
    for field, value in params.items():
        for changed in flips(value):
            with pytest.raises((BadSignature, StaleTimestamp)):
                opened(mini, {**params, field: changed}, vector_body(vector), now)


@pytest.mark.parametrize("name", ENCRYPTED)
def test_a_published_push_with_one_bit_of_its_encrypt_changed_is_refused(name: str) -> None:
    vector = ALL[name]
    mini, params, now = vector_program(vector), vector_params(vector), int(vector["timestamp"])
    for changed in flips(vector["Encrypt"]):
        with pytest.raises(BadSignature):
            opened(mini, params, json.dumps({"Encrypt": changed}).encode(), now)


@pytest.mark.parametrize("name", ["post_aes_json", "third_party_platform_xml", "v1_ok_json", "v2_pass_xml"])
def test_one_bit_changed_anywhere_in_a_body_never_changes_what_it_says(name: str) -> None:
    """Fields beside Encrypt are not signed, and not believed either."""
    vector = ALL[name]
    mini, params, now = vector_program(vector), vector_params(vector), int(vector["timestamp"])
    body = vector_body(vector)
    said = opened(mini, params, body, now)
    start = body.index(vector["Encrypt"].encode())
    refused = 0
    for place in range(len(body)):
        for bit in range(8):
            if start <= place < start + len(vector["Encrypt"]) and (place + bit) % 8:
                continue  # a sample; the pure text is covered bit by bit above
            changed = body[:place] + bytes([body[place] ^ 1 << bit]) + body[place + 1 :]
            try:
                assert opened(mini, params, changed, now) == said
            except Refusal:
                refused += 1
    assert refused > len(vector["Encrypt"])


@pytest.mark.parametrize("name", ["get_verify", "post_plain"])
def test_a_published_signature_with_one_bit_changed_is_refused(name: str) -> None:
    vector = ALL[name]
    params, now = vector_params(vector), int(vector["timestamp"])
    for field, value in params.items():
        for changed in flips(value):
            with pytest.raises((BadSignature, StaleTimestamp)):
                opened(PLAIN, {**params, field: changed}, b"{}", now)
            with pytest.raises((BadSignature, StaleTimestamp)):
                check_url(PLAIN, [*{**params, field: changed}.items(), ("echostr", "1")], now)


# --- whose it is


@pytest.mark.parametrize("age", [-600, -1, 0, 600])
def test_a_push_up_to_ten_minutes_off_is_accepted(age: int) -> None:
    assert opened(PLAIN, plain_params(), b'{"a":1}', NOW + age) == {"a": 1}


@pytest.mark.parametrize("age", [-601, 601, 86_400])
def test_a_push_more_than_ten_minutes_off_is_refused(age: int) -> None:
    with pytest.raises(StaleTimestamp):
        opened(PLAIN, plain_params(), b'{"a":1}', NOW + age)
    with pytest.raises(StaleTimestamp):
        check_url(PLAIN, [*plain_params().items(), ("echostr", "1")], NOW + age)


@pytest.mark.parametrize(
    "timestamp", ["", " 1700000000", "1_700_000_000", "1.7e9", "-1700000000", "１７０００００００", "9" * 5000]
)
def test_a_timestamp_that_is_no_number_is_refused_even_when_signed(timestamp: str) -> None:
    params = {"timestamp": timestamp, "nonce": "n", "signature": sign(TOKEN, timestamp, "n")}
    with pytest.raises(StaleTimestamp):
        opened(PLAIN, params, b"{}")


@pytest.mark.parametrize("name", ["timestamp", "nonce", "signature"])
def test_a_missing_or_repeated_parameter_is_refused(name: str) -> None:
    params = list(plain_params().items())
    with pytest.raises(BadSignature):
        open_push(PLAIN, [pair for pair in params if pair[0] != name], b"{}", NOW)
    with pytest.raises(BadSignature):
        open_push(PLAIN, [*params, (name, dict(params)[name])], b"{}", NOW)


@pytest.mark.parametrize("token", [None, SecretStr("")])
def test_without_a_token_nothing_is_believed(token: SecretStr | None) -> None:
    params = {"timestamp": str(NOW), "nonce": "n", "signature": sign("", str(NOW), "n")}
    with pytest.raises(BadSignature):
        opened(program(push_token=token, push_aes_key=None), params, b"{}")


def test_an_encrypted_push_needs_its_own_signature() -> None:
    params, encrypted = secured(b"{}")
    del params["msg_signature"]
    with pytest.raises(BadSignature):
        opened(SECURE, params, json.dumps({"Encrypt": encrypted}).encode())


def test_an_encrypted_push_without_the_plain_signature_is_accepted() -> None:
    params, encrypted = secured(b'{"a":1}')
    del params["signature"]
    assert opened(SECURE, params, json.dumps({"Encrypt": encrypted}).encode()) == {"a": 1}


def test_a_large_body_is_not_parsed_before_its_sender_has_signed_anything() -> None:
    body = b"<xml>" + b"<a/>" * 20_000
    with pytest.raises(BadSignature, match="more than 16384"):
        opened(SECURE, {"timestamp": str(NOW), "nonce": "n", "msg_signature": "x"}, body)
    with pytest.raises(Malformed):
        opened(SECURE, {**plain_params(), "msg_signature": "x"}, body)


def test_taking_encrypt_away_does_not_make_an_unsigned_push_a_plain_one() -> None:
    params, _ = secured(b"{}")
    del params["signature"]
    with pytest.raises(BadSignature):
        opened(program(push_plain_allowed=True), params, json.dumps(EVENT).encode())


def test_a_plain_push_is_refused_while_an_aes_key_is_set() -> None:
    with pytest.raises(PlainRefused, match="not encrypted"):
        opened(SECURE, plain_params(), json.dumps(EVENT).encode())


def test_a_plain_push_is_accepted_where_it_is_allowed() -> None:
    assert opened(program(push_plain_allowed=True), plain_params(), json.dumps(EVENT).encode()) == EVENT


def test_both_keys_open_a_push_while_they_change() -> None:
    mini = program(push_aes_key=OTHER_KEY, push_aes_key_previous=KEY)
    for key in (KEY, OTHER_KEY):
        params, encrypted = secured(b'{"a":1}', key=key)
        assert opened(mini, params, json.dumps({"Encrypt": encrypted}).encode()) == {"a": 1}


def test_a_push_that_no_key_opens_cannot_be_decrypted() -> None:
    params, encrypted = secured(b"{}", key=OTHER_KEY)
    for mini in (SECURE, PLAIN):
        with pytest.raises(Undecryptable):
            opened(mini, params, json.dumps({"Encrypt": encrypted}).encode())


@pytest.mark.parametrize("addressee", ["wxother", "", APPID + "x", COMPONENT])
def test_an_envelope_for_another_appid_is_refused(addressee: str) -> None:
    params, encrypted = secured(b"{}", appid=addressee)
    with pytest.raises(WrongAppid):
        opened(SECURE, params, json.dumps({"Encrypt": encrypted}).encode())


@pytest.mark.parametrize("named", ['"wxother"', '""', "null", "5", '["x"]'])
def test_a_verdict_that_names_another_appid_is_refused_and_any_other_message_is_not(named: str) -> None:
    event = f'{{"MsgType":"event","Event":"other","appid":{named}}}'.encode()
    assert normalised_push(opened(PLAIN, plain_params(), event)) is None
    body = f'{{"MsgType":"event","Event":"wxa_media_check","appid":{named}}}'.encode()
    with pytest.raises(WrongAppid):
        opened(PLAIN, plain_params(), body)
    params, encrypted = secured(body)
    with pytest.raises(WrongAppid):
        opened(SECURE, params, json.dumps({"Encrypt": encrypted}).encode())


def test_the_plain_fields_of_compatible_mode_are_ignored() -> None:
    params, encrypted = secured(json.dumps({**EVENT, "isrisky": 1}).encode())
    forged = {**EVENT, "isrisky": 0, "trace_id": "forged", "appid": "wxother", "Encrypt": encrypted}
    assert opened(SECURE, params, json.dumps(forged).encode()) == {**EVENT, "isrisky": 1}


@pytest.mark.parametrize("value", ["5", "null", "[]", '{"a":1}', "true"])
def test_an_encrypt_that_is_no_string_is_malformed(value: str) -> None:
    with pytest.raises(Malformed):
        opened(SECURE, plain_params(), f'{{"Encrypt":{value}}}'.encode())


def test_half_a_surrogate_pair_for_encrypt_is_refused() -> None:
    with pytest.raises(BadSignature):
        opened(SECURE, {**plain_params(), "msg_signature": "\ud800"}, b'{"Encrypt":"\\ud800"}')


def test_no_refusal_says_what_the_push_held() -> None:
    cases = [
        ({**plain_params(), "signature": "marker"}, b"{}"),
        ({**plain_params(), "timestamp": "marker"}, b"{}"),
        (plain_params(), b'{"marker": "marker'),
        (plain_params(), b"<marker>marker"),
        (plain_params(), json.dumps({**EVENT, "appid": "marker"}).encode()),
        (plain_params(), json.dumps({**EVENT, "x": 1}).replace("}", ',"marker": 1, "marker": 1}').encode()),
    ]
    for params, body in cases:
        with pytest.raises(Refusal) as refused:
            opened(PLAIN, params, body)
        assert "marker" not in str(refused.value)
        assert TOKEN not in str(refused.value)


def test_every_refusal_has_an_outcome_of_its_own() -> None:
    kinds = Refusal.__subclasses__()
    assert len({kind.outcome for kind in kinds}) == len(kinds) == len(Outcome) - 3
    assert {kind.status for kind in kinds} == {400, 403, 404, 413, 503}
    assert all(kind.remedy for kind in kinds)


# --- what it says


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  \n",
        b"\xef\xbb\xbf",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b'{"a":1}x',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":1,"a":2}',
        b'{"b":{"a":1,"a":2}}',
        b'{"a":"\xff"}',
        '{"a":1}'.encode("utf-16"),
        b'{"detail":[{"__type__":"uuid","__value__":"x"}]}',
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
        b"<",
        b"<xml>",
        b"<xml></xml><xml/>",
        b"<xml>\x00</xml>",
        b"<xml>&undefined;</xml>",
        b"<xml><trace_id>a</trace_id><trace_id>b</trace_id></xml>",
        b"<xml><result><suggest>pass</suggest><suggest>risky</suggest></result></xml>",
        b"<xml><detail><__type__>uuid</__type__></detail></xml>",
        b"<!DOCTYPE html><html></html>",
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">'
        b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;">]><xml><a>&c;&c;&c;&c;</a></xml>',
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><xml><a>&e;</a></xml>',
        b'<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd"><xml/>',
    ],
    ids=lambda body: repr(body[:24]),
)
def test_a_body_that_no_platform_sends_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        cleaned(parse(body))


def test_deep_xml_does_no_harm() -> None:
    assert parse(b"<xml>" + b"<a>" * 100_000 + b"</a>" * 100_000 + b"</xml>") == {"a": ""}


@pytest.mark.parametrize("body", [b'{"a":"1"}', b"<xml><a>1</a></xml>"])
@pytest.mark.parametrize("before", [b"", b" \r\n\t", b"\xef\xbb\xbf"])
def test_json_and_xml_are_told_apart_by_their_first_byte(before: bytes, body: bytes) -> None:
    assert parse(before + body) == {"a": "1"}


def test_the_encoding_that_xml_declares_is_not_believed() -> None:
    body = '<?xml version="1.0" encoding="gb2312"?><xml><errmsg>下载错误</errmsg></xml>'.encode()
    assert parse(body) == {"errmsg": "下载错误"}


def test_nested_lists_are_taken_up_to_the_bound() -> None:
    depth = MAX_DEPTH - 1
    assert cleaned(parse(b'{"a":' + b"[" * depth + b"]" * depth + b"}"))


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    message = cleaned(parse(b'{"errmsg":"\\ud83d","\\ud800":["\\ude00",{"x":"\\ud83d\\ude00"}]}'))
    assert message == {"errmsg": "?", "?": ["?", {"x": "😀"}]}


@pytest.mark.parametrize(
    ("elements", "detail"),
    [
        ("", []),
        ("<detail></detail>", []),
        ("<detail/>", []),
        (
            "<detail><strategy>content_model</strategy><errcode>0</errcode><suggest>pass</suggest></detail>",
            [{"strategy": "content_model", "errcode": "0", "suggest": "pass"}],
        ),
        (
            "<detail><errcode>0</errcode><suggest>pass</suggest></detail>"
            "<detail><errcode>-1</errcode></detail><detail><suggest>risky</suggest></detail>",
            [{"errcode": "0", "suggest": "pass"}, {"errcode": "-1"}, {"suggest": "risky"}],
        ),
    ],
    ids=["none", "empty", "empty too", "one", "three"],
)
def test_xml_with_any_number_of_details_is_read_by_path(elements: str, detail: list[dict[str, str]]) -> None:
    """The errcode and suggest within detail, which comes first, are not the message's own."""
    body = (
        "<xml><MsgType><![CDATA[event]]></MsgType><Event>wxa_media_check</Event><trace_id>t-1</trace_id>"
        f"<version>2</version>{elements}<errcode>7</errcode><errmsg>ok</errmsg>"
        "<result><suggest>review</suggest><label>20001</label></result></xml>"
    )
    assert normalised_push(cleaned(parse(body.encode()))) == {
        "trace_id": "t-1",
        "version": 2,
        "errcode": 7,
        "errmsg": "ok",
        "result": {"suggest": "review", "label": 20001},
        "detail": detail,
    }


@pytest.mark.parametrize("name", ["v2_pass_json", "v2_pass_xml"])
def test_json_and_xml_say_the_same(name: str) -> None:
    push = normalised_push(parse(ALL[name]["plain"].encode()))
    assert push is not None
    assert push.pop("detail")[0]["suggest"] == "pass"
    assert push == {
        "trace_id": "60f96f1d-3845297a-1976a3ae",
        "version": 2,
        "errcode": 0,
        "errmsg": "ok",
        "result": {"suggest": "pass", "label": 100},
    }


def test_a_failed_v2_check_has_no_result() -> None:
    assert normalised_push(parse(ALL["v2_download_error_json"]["plain"].encode())) == {
        "trace_id": "687c6131-26221dca-0c128c75",
        "version": 2,
        "errcode": -1008,
        "errmsg": "下载错误，请检查媒体链接是否有效",
        "result": None,
        "detail": [],
    }


def test_a_v1_verdict_keeps_isrisky_beside_a_status_code_that_says_failed() -> None:
    assert normalised_push(parse(ALL["v1_download_error_json"]["plain"].encode())) == {
        "trace_id": "b170f800089cbf674e6145bd8493e000",
        "version": 1,
        "isrisky": 0,
        "status_code": -1008,
        "errmsg": "",
        "detail": [],
    }


def test_numbers_that_came_as_strings_are_numbers() -> None:
    v1 = normalised_push({**EVENT, "isrisky": "1", "status_code": "4294966287"})
    assert v1 is not None
    assert (v1["isrisky"], v1["status_code"]) == (1, -1009)
    v2 = normalised_push(
        {**EVENT, "version": "2", "errcode": " -1008 ", "result": {"suggest": "risky", "label": "20002"}}
    )
    assert v2 is not None
    assert (v2["version"], v2["errcode"], v2["result"]) == (2, -1008, {"suggest": "risky", "label": 20002})


@pytest.mark.parametrize("value", [None, "", "x", "0x1", "1.0", 1.0, True, False, [], {}, "٣", "9" * 30])
def test_what_is_no_number_is_none(value: object) -> None:
    v1 = normalised_push({**EVENT, "isrisky": value, "status_code": value})
    v2 = normalised_push({**EVENT, "version": 2, "errcode": value, "result": {"suggest": "pass", "label": value}})
    assert v1 is not None
    assert v2 is not None
    assert (v1["isrisky"], v1["status_code"], v2["errcode"]) == (None, None, None)
    assert v2["result"] == {"suggest": "pass", "label": None}


def says(suggest: object, errcode: object = 0) -> dict[str, object]:
    return {"strategy": "content_model", "errcode": errcode, "suggest": suggest, "label": "100", "prob": "90"}


@pytest.mark.parametrize(
    ("suggest", "detail", "agrees"),
    [
        ("pass", says("pass"), True),
        ("pass", [says("pass")], True),
        ("pass", [says("pass", "0")], True),
        ("pass", [{"strategy": "keyword", "errcode": 0}, says("pass")], True),
        ("risky", [says("pass"), says("risky")], True),
        ("review", [says("review"), says("pass")], True),
        # what failed does not count
        ("pass", [says("pass"), says("risky", -1)], True),
        ("pass", [says("risky")], False),
        ("pass", [says("pass"), says("review")], False),
        ("review", [says("risky")], False),
        ("risky", [says("pass")], False),
        # it may count: like the push, it may leave out a code of 0
        ("pass", [{"suggest": "risky"}], False),
        ("pass", [says("block")], False),
        ("pass", [says(["pass"])], False),
        # nothing agrees with it
        ("pass", [], False),
        ("risky", [{"strategy": "keyword", "errcode": 0}], False),
        ("pass", [says("pass", -1)], False),
        ("block", [says("block")], False),
        (None, [says("pass")], False),
    ],
)
@pytest.mark.parametrize("form", ["json", "xml"])
def test_an_errcode_that_a_v2_push_leaves_out_is_0_where_result_and_details_agree(
    suggest: str | None, detail: Any, agrees: bool, form: str
) -> None:
    result = {"suggest": suggest, "label": "100"} if suggest is not None else None
    if form == "json":
        message = {**EVENT, "version": 2, "detail": detail, **({"result": result} if result else {})}
        push = normalised_push(cleaned(parse(json.dumps(message).encode())))
    else:
        entries = detail if isinstance(detail, list) else [detail]
        if any(not isinstance(value, str | int) for entry in entries for value in entry.values()):
            pytest.skip("XML has text only")
        elements = "".join(f"<detail>{_elements(entry)}</detail>" for entry in entries)
        more = f"<result>{_elements(result)}</result>" if result else ""
        body = f"<xml>{_elements({**EVENT, 'version': 2})}{elements}{more}</xml>"
        push = normalised_push(cleaned(parse(body.encode())))
    assert push is not None
    assert push["errcode"] == (0 if agrees else None)


def _elements(members: Any) -> str:
    return "".join(f"<{name}>{value}</{name}>" for name, value in members.items())


@pytest.mark.parametrize("errcode", [None, "", "x", [], 1.5, -1008])
def test_an_errcode_that_is_there_is_never_taken_for_0(errcode: object) -> None:
    push = normalised_push({**EVENT, "version": 2, "errcode": errcode, "result": {"suggest": "pass", "label": 100}})
    assert push is not None
    assert push["errcode"] != 0


def test_a_long_errmsg_is_cut_as_an_answers_is() -> None:
    for fields in ({"version": 2, "errcode": -1008}, {"isrisky": 0, "status_code": 0}):
        push = normalised_push({**EVENT, **fields, "errmsg": "下" * 400_000})
        assert push is not None
        assert push["errmsg"] == "下" * MAX_ERRMSG


@pytest.mark.parametrize("result", [None, "", "pass", [], {}, {"suggest": ""}, {"suggest": 1}, {"label": 100}])
def test_a_v2_verdict_without_a_readable_result_has_none(result: object) -> None:
    push = normalised_push({**EVENT, "version": 2, "errcode": 0, "result": result})
    assert push is not None
    assert push["result"] is None


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        ({}, 1),
        ({"isrisky": 0}, 1),
        ({"isrisky": 0, "errcode": 0}, 1),
        ({"version": 2, "isrisky": 0}, 2),
        ({"version": "2"}, 2),
        ({"errcode": 0}, 2),
        ({"result": {}}, 2),
    ],
)
def test_the_version_is_told_by_what_the_message_holds(fields: dict[str, object], version: int) -> None:
    push = normalised_push({**EVENT, **fields})
    assert push is not None
    assert push["version"] == version


def test_one_detail_that_is_no_list_is_a_list_of_one() -> None:
    push = normalised_push({**EVENT, "detail": {"suggest": "pass"}})
    assert push is not None
    assert push["detail"] == [{"suggest": "pass"}]


@pytest.mark.parametrize("trace_id", [None, "", 5, ["t"], "x" * 129, "a\nb", "a\x00", "\ud800"])
def test_a_verdict_without_a_usable_trace_id_is_refused(trace_id: object) -> None:
    with pytest.raises(NoTraceId):
        normalised_push({**EVENT, "trace_id": trace_id})


def test_a_trace_id_of_128_characters_is_accepted() -> None:
    push = normalised_push({**EVENT, "trace_id": "x" * 128})
    assert push is not None
    assert push["trace_id"] == "x" * 128


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"MsgType": "text", "Content": "hi"},
        {"MsgType": "event", "Event": "debug_demo"},
        {"MsgType": "event", "Event": ["wxa_media_check"]},
        {"MsgType": "text", "Event": "wxa_media_check", "trace_id": "t"},
    ],
)
def test_every_other_message_is_no_verdict(message: dict[str, object]) -> None:
    assert normalised_push(message) is None


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = st.sampled_from(
    ["trace_id", "version", "errcode", "errmsg", "result", "detail", "isrisky", "status_code", "appid", "Encrypt", "x"]
)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=200)
    | st.text(max_size=100).map(lambda text: ("{" + text).encode("utf-8", "replace"))
    | st.text("<>/!?[]&;xml detailCDATA'\"=-", max_size=80).map(lambda text: ("<xml>" + text + "</xml>").encode())
    | st.dictionaries(_FIELDS, _VALUES, max_size=8).map(lambda fields: json.dumps({**EVENT, **fields}).encode())
)
def test_any_body_is_read_or_refused_by_name(body: bytes) -> None:
    for mini in (PLAIN, SECURE):
        try:
            push = normalised_push(opened(mini, {**plain_params(), "msg_signature": "x"}, body))
        except Refusal:
            continue
        json.dumps(push, ensure_ascii=False, allow_nan=False).encode()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["timestamp", "nonce", "signature", "echostr", "x"]), st.text()), max_size=6))
def test_any_query_without_the_token_is_refused_by_name(params: list[tuple[str, str]]) -> None:
    with pytest.raises(Refusal):
        open_push(PLAIN, params, b"{}", NOW)
    with pytest.raises(Refusal):
        check_url(PLAIN, params, NOW)


# --- whatever another message holds, it is taken

USERS_OWN = [
    "\x1d",
    "\x10\x00",
    "\ufffe\uffff",
    "wxa_media_check \x1d",
    "<Event>wxa_media_check</Event>",
    '","Event":"wxa_media_check","x":"',
    "]] > & &nbsp; &#0; &#x1d; <b",
    "{[" * 40_000,
]


def customers_message(content: str, form: str) -> bytes:
    """A user's message to the Mini Program, as the platform passes it on: it escapes less than it has to."""
    if form == "json":
        quoted = content.replace("\\", "\\\\").replace('"', '\\"')
        return f'{{"ToUserName":"gh_1","MsgType":"text","Content":"{quoted}","MsgId":1}}'.encode("utf-8", "replace")
    content = content.replace("]]>", "")
    return (
        f"<xml><ToUserName>gh_1</ToUserName><MsgType><![CDATA[text]]></MsgType>"
        f"<Content><![CDATA[{content}]]></Content><MsgId>1</MsgId></xml>"
    ).encode("utf-8", "replace")


OTHERS = {
    "a control character in JSON": customers_message("\x10", "json"),
    "a control character in XML": b"<xml><MsgType>text</MsgType><Content><![CDATA[ \x1d ]]></Content></xml>",
    "no UTF-8 in JSON": b'{"MsgType":"text","Content":"\xff\xfe"}',
    "no UTF-8 in XML": b"<xml><MsgType>text</MsgType><Content><![CDATA[\xff]]></Content></xml>",
    "a repeated name": b'{"MsgType":"event","Event":"other","a":1,"a":2}',
    "a repeated child": b"<xml><MsgType>event</MsgType><Event>other</Event><result><a/><a/></result></xml>",
    "a repeated element": b"<xml><MsgType>event</MsgType><Event>other</Event><errcode/><errcode/></xml>",
    "a huge number": b'{"MsgType":"event","Event":"other","n":' + b"9" * 100_000 + b"}",
    "a number without end": b'{"MsgType":"event","Event":"other","n":1e999,"m":NaN,"o":-Infinity}',
    "another appid": b'{"MsgType":"event","Event":"other","appid":"wxother"}',
    "deep JSON": b'{"MsgType":"event","Event":"other","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deeper than is taken": b'{"MsgType":"event","Event":"other","a":' + b"[" * 40 + b"]" * 40 + b"}",
    "an instruction to kombu": b'{"MsgType":"event","Event":"other","__type__":"uuid","__value__":"x"}',
    "a bare ampersand": b"<xml><MsgType>link</MsgType><Url>http://a.example/?b=1&c=2</Url></xml>",
    "an entity nobody knows": b"<xml><MsgType>text</MsgType><Content>&nbsp;&#0;</Content></xml>",
    "an unbound prefix": b"<xml><MsgType>text</MsgType><a:b>1</a:b></xml>",
    "the name of a verdict": customers_message("wxa_media_check \x1d", "xml"),
    "a verdict, quoted": customers_message(json.dumps(EVENT) + "\x10", "json"),
    "no kind at all": b'{"a":1,"a":2}',
}


@pytest.mark.parametrize("mode", ["plain", "secure", "compatible, JSON", "compatible, XML"])
@pytest.mark.parametrize("case", OTHERS)
def test_a_message_that_is_no_verdict_is_taken_whatever_it_holds(case: str, mode: str) -> None:
    body = OTHERS[case]
    if mode == "plain":
        assert normalised_push(opened(PLAIN, plain_params(), body)) is None
        return
    params, encrypted = secured(body)
    sent = json.dumps({"Encrypt": encrypted}).encode()
    if mode == "compatible, JSON" and body.startswith(b"{"):
        sent = body.removesuffix(b"}") + f',"Encrypt":"{encrypted}"}}'.encode()
    if mode == "compatible, XML" and body.startswith(b"<"):
        sent = body.removesuffix(b"</xml>") + f"<Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>".encode()
    assert normalised_push(opened(SECURE, params, sent)) is None


@pytest.mark.parametrize("content", USERS_OWN, ids=ascii)
@pytest.mark.parametrize("form", ["json", "xml"])
def test_nothing_that_a_user_writes_makes_a_verdict_or_a_refusal(form: str, content: str) -> None:
    params, encrypted = secured(customers_message(content, form))
    assert normalised_push(opened(SECURE, params, json.dumps({"Encrypt": encrypted}).encode())) is None


@pytest.mark.parametrize(
    "damage",
    [
        (b'"errmsg": "ok"', b'"errmsg": "\x10"'),
        (b'"errmsg": "ok"', b'"errmsg": "\xff"'),
        (b'"errmsg": "ok"', b'"errmsg": 1, "errmsg": 2'),
        (b'"errmsg": "ok"', b'"errmsg": ' + b"9" * 5000),
        (b'"errmsg": "ok"', b'"errmsg": NaN'),
        (b'"errmsg": "ok"', b'"errmsg": ' + b"[" * 9999 + b"]" * 9999),
        (b'"errmsg": "ok"', b'"__type__": "uuid"'),
        (b'"wxa_media_check"', b'"wxa_media_check'),
        (b'"event"', b'"event'),
        (b'"MsgType"', b'"MsgTyp\xff"'),
        (b'"Event"', b'"\x10Event"'),
        (b'"Event"', b'"Event": "other", "Event"'),
        (b'"MsgType"', b'"MsgType": "text", "MsgType"'),
        (b'"wxa_media_check"', b'"wxa\\u005fmedia_check", "a": 1, "a": 2'),
        (b"}", b""),
    ],
    ids=lambda damage: repr(damage)[:60],
)
def test_a_verdict_is_never_lost_by_the_leniency(damage: tuple[bytes, bytes]) -> None:
    """Damaged on its way it is refused, so that the platform sends it again."""
    body = json.dumps({**EVENT, "errcode": 0, "errmsg": "ok", "version": 2}).encode()
    assert damage[0] in body
    params, encrypted = secured(body.replace(*damage, 1))
    with pytest.raises(Malformed):
        opened(SECURE, params, json.dumps({"Encrypt": encrypted}).encode())


@pytest.mark.parametrize(
    "children",
    [
        "<errmsg>\x1d</errmsg>",
        "<errmsg/><errmsg/>",
        "<result><suggest>pass</suggest><suggest>risky</suggest></result>",
        "<detail><a/><a/></detail>",
        "<errmsg>&nope;</errmsg>",
        "<MsgType>text</MsgType>",
        "<Event>other</Event>",
        "<a:b/>",
    ],
)
def test_a_verdict_in_xml_is_never_lost_by_the_leniency(children: str) -> None:
    event = "<Event><![CDATA[wxa_]]><![CDATA[media_check]]></Event><trace_id>t</trace_id>"
    params, encrypted = secured(f"<xml><MsgType>event</MsgType>{event}{children}</xml>".encode())
    with pytest.raises(Malformed):
        opened(SECURE, params, json.dumps({"Encrypt": encrypted}).encode())


@pytest.mark.parametrize("form", ["json", "xml"])
def test_blanks_around_what_is_read_are_no_part_of_it(form: str) -> None:
    event = {name: f"\n  {value}\t" for name, value in {**EVENT, "appid": APPID, "isrisky": "1"}.items()}
    body = json.dumps(event).encode() if form == "json" else f"<xml>{_elements(event)}</xml>".encode()
    params, encrypted = secured(body)
    outer = {"json": f'{{"Encrypt":" {encrypted}\\n"}}', "xml": f"<xml>\n<Encrypt>\n {encrypted}\n</Encrypt>\n</xml>"}
    push = normalised_push(opened(SECURE, params, outer[form].encode()))
    assert push is not None
    assert (push["trace_id"], push["isrisky"]) == ("t-1", 1)


@pytest.mark.parametrize("twice", ['"Encrypt":"other"', '"Encrypt":5'])
def test_of_two_encrypts_none_is_believed(twice: str) -> None:
    params, encrypted = secured(b"{}")
    with pytest.raises(Malformed):
        opened(SECURE, params, f'{{"Encrypt":"{encrypted}",{twice}}}'.encode())


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><xml><MsgType>text</MsgType><a>&b;</a></xml>',
        b'<?xml version="1.0"?><!DOCTYPE x SYSTEM "file:///etc/passwd"><xml><MsgType>text</MsgType></xml>',
        b"<xml><MsgType>text</MsgType></xml><!DOCTYPE x>",
        b"<xml><MsgType>text</MsgType>",
        b"<xml><MsgType>text</xml></MsgType>",
        b"<!-- <xml><MsgType>text</MsgType></xml> -->",
        b'{"MsgType":"text"',
        b'{"MsgType":"text}',
        b'{"MsgType":"text"}}',
        b"hello",
        b"",
    ],
)
def test_what_is_no_whole_message_is_malformed_and_a_dtd_is_never_read(body: bytes) -> None:
    params, encrypted = secured(body)
    with pytest.raises(Malformed):
        opened(SECURE, params, json.dumps({"Encrypt": encrypted}).encode())


@pytest.mark.parametrize(
    "part", ['"', "\\", "{", "[", '{"', "<", "<a", '<a b="', "<a '", "<![CDATA[", "<!--", "</a", "<a ", "&", "]]", "a:"]
)
def test_hostile_bodies_are_looked_at_in_time_that_grows_with_their_length(part: str) -> None:
    for start in ('{"MsgType":"text","a":', "<xml><MsgType>text</MsgType>"):
        body = (start + part * (1_000_000 // len(part))).encode()
        began = time.process_time()
        with suppress(Malformed):
            read(body)
        # where it grew with the square, it would take minutes
        assert time.process_time() - began < 10


# --- what is read in a shorter way is what the long way reads

_names = st.sampled_from(["a", "__type__", "\ud800", "<", "{"]) | st.text(max_size=3)
_nested = st.recursive(
    st.none() | st.integers(-5, 5) | st.text(max_size=5) | st.sampled_from(["\ud83d", "[" * 40, "__type__", "&lt;"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=10,
)
_bodies = (
    st.dictionaries(_names, _nested, max_size=4).map(lambda made: json.dumps(made).encode())
    | st.dictionaries(_names, _nested, max_size=4).map(
        lambda made: json.dumps(made, ensure_ascii=False).encode("utf-8", "replace")
    )
    | st.integers(1, 2 * MAX_DEPTH).map(lambda depth: b'{"a":' + b"[" * depth + b"]" * depth + b"}")
    | st.integers(1, 2 * MAX_DEPTH).map(lambda depth: b'{"a":' * depth + b"1" + b"}" * depth)
    | st.sampled_from([b"<x><__type__>1</__type__></x>", b'{"\\u005f_type__":1}', b"<x><a>&#123;</a></x>", b"", b"[]"])
)


def _outcome(read_it: Any, body: bytes) -> Any:
    try:
        return read_it(body)
    except Malformed as refusal:
        return str(refusal)


@given(_bodies)
@settings(max_examples=500)
def test_a_message_is_read_as_it_is_parsed_and_cleaned(body: bytes) -> None:
    assert _outcome(read, body) == _outcome(lambda given: cleaned_or_other(outline(given)), body)


@given(st.lists(st.sampled_from([*"ab&=%+;", "%3D", "%26", "é", "signature=1"]), max_size=12).map("".join))
@settings(max_examples=500)
def test_a_query_is_read_as_the_standard_library_reads_it(query: str) -> None:
    raw = query.encode("latin-1")
    assert list(read_query(raw)) == parse_qsl(raw.decode("latin-1"), keep_blank_values=True)
