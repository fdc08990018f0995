"""The sandbox's pushes have the fields, the formats and the signatures of the platform's."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import parse_qs

import pytest
from defusedxml import ElementTree
from pydantic import SecretStr

from config.settings import MiniProgram
from sandbox.messages import encode, sealed, verdict
from sandbox.scenarios import NOTHING, Scenario
from wechat.push.envelope import decrypt, sign

KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


def program(**changes: Any) -> MiniProgram:
    given = {
        "appid": "wxba5fad812f8e6fb9",
        "push_token": SecretStr("AAAAA"),
        "push_aes_key": SecretStr(KEY),
        "push_plain_allowed": False,
        "text_per_minute": 1,
        "text_per_day": 1,
        "media_per_minute": 1,
        "media_per_day": 1,
    }
    return MiniProgram(**{**given, **changes})


def pushed(version: int, scenario: Scenario = NOTHING, strings: bool = False) -> dict[str, Any]:
    return verdict("wx1", "60f96f1d-3845297a-1976a3ae", version, scenario, strings)


def test_a_v2_verdict_has_the_documented_fields() -> None:
    before = int(time.time())
    message = pushed(2)
    assert before <= message.pop("CreateTime") <= time.time()
    assert message.pop("ToUserName").startswith("gh_")
    assert message.pop("FromUserName").startswith("o")
    assert message == {
        "MsgType": "event",
        "Event": "wxa_media_check",
        "appid": "wx1",
        "trace_id": "60f96f1d-3845297a-1976a3ae",
        "version": 2,
        "detail": [{"strategy": "content_model", "errcode": 0, "suggest": "pass", "label": 100, "prob": 90}],
        "errcode": 0,
        "errmsg": "ok",
        "result": {"suggest": "pass", "label": 100},
    }


def test_a_v2_failure_has_no_result() -> None:
    message = pushed(2, Scenario(error=-1008))
    assert (message["errcode"], message["detail"], "result" in message) == (-1008, [], False)


def test_a_v1_verdict_has_the_documented_fields() -> None:
    message = pushed(1, Scenario(suggest="risky"))
    assert {name: message[name] for name in ("isrisky", "extra_info_json", "status_code")} == {
        "isrisky": 1,
        "extra_info_json": "",
        "status_code": 0,
    }
    assert not {"version", "result", "errcode"} & set(message)
    assert pushed(1)["isrisky"] == 0


def test_a_v1_failure_is_an_unsigned_number() -> None:
    message = pushed(1, Scenario(error=-1008))
    assert (message["status_code"], message["isrisky"]) == (4294966288, 0)


def test_the_result_may_be_missing() -> None:
    assert "result" not in pushed(2, Scenario(no_result=True))
    assert "isrisky" not in pushed(1, Scenario(no_result=True))


def test_numbers_may_come_as_strings() -> None:
    message = pushed(2, Scenario(suggest="risky", label=20006), strings=True)
    assert (message["version"], message["errcode"], message["result"]["label"]) == ("2", "0", "20006")
    assert message["detail"][0]["errcode"] == "0"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_xml_repeats_the_detail_element_beside_result(count: int) -> None:
    root = ElementTree.fromstring(encode(pushed(2, Scenario(suggest="review", details=count)), "xml"))
    assert root.tag == "xml"
    details = root.findall("detail")
    assert [entry.findtext("errcode") for entry in details] == ["0", "-1", "-1"][:count]
    assert [entry.findtext("suggest") for entry in details] == ["review", "pass", "pass"][:count]
    assert root.findtext("result/suggest") == "review"
    assert root.findtext("errcode") == "0"


def test_xml_holds_strings_in_cdata_and_numbers_bare() -> None:
    xml = encode(pushed(2), "xml").decode()
    assert "<Event><![CDATA[wxa_media_check]]></Event>" in xml
    assert "<version>2</version><detail><strategy><![CDATA[content_model]]></strategy><errcode>0</errcode>" in xml


def test_xml_survives_the_end_of_cdata_in_a_string() -> None:
    assert ElementTree.fromstring(encode({"errmsg": "a]]>b<"}, "xml")).findtext("errmsg") == "a]]>b<"


def test_json_is_raw_utf8() -> None:
    assert "下载错误".encode() in encode(pushed(2, Scenario(error=-1008)), "json")


def test_a_plain_push_is_signed_with_a_current_time() -> None:
    before = int(time.time())
    query, body, content_type = sealed(pushed(2), program(), "plain", "json")
    fields = {name: values[0] for name, values in parse_qs(query).items()}
    assert set(fields) == {"signature", "timestamp", "nonce", "openid"}
    assert fields["signature"] == sign("AAAAA", fields["timestamp"], fields["nonce"])
    assert before <= int(fields["timestamp"]) <= time.time()
    assert json.loads(body)["Event"] == "wxa_media_check"
    assert content_type == "application/json"


@pytest.mark.parametrize("form", ["json", "xml"])
@pytest.mark.parametrize("mode", ["secure", "compatible"])
def test_an_encrypted_push_opens_with_the_key(mode: Any, form: Any) -> None:
    query, body, _ = sealed(pushed(2), program(), mode, form)
    fields = {name: values[0] for name, values in parse_qs(query).items()}
    outer: dict[str, Any]
    outer = json.loads(body) if form == "json" else {child.tag: child.text for child in ElementTree.fromstring(body)}
    assert fields["encrypt_type"] == "aes"
    assert fields["msg_signature"] == sign("AAAAA", fields["timestamp"], fields["nonce"], outer["Encrypt"])
    message, receiver = decrypt(outer["Encrypt"], KEY)
    assert receiver == "wxba5fad812f8e6fb9"
    assert b"60f96f1d-3845297a-1976a3ae" in message
    assert ("trace_id" in outer) == (mode == "compatible")
    assert outer["ToUserName"].startswith("gh_")


def test_a_push_through_a_third_party_platform_is_addressed_to_it() -> None:
    _, body, _ = sealed(pushed(2), program(component_appid="wx134c8103faa5a59e"), "secure", "json")
    assert decrypt(json.loads(body)["Encrypt"], KEY)[1] == "wx134c8103faa5a59e"


def test_every_delivery_has_its_own_nonce() -> None:
    queries = {sealed(pushed(2), program(), "plain", "json")[0] for _ in range(20)}
    assert len(queries) == 20
