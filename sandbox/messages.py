"""The pushes that WeChat sends: JSON or XML, plain or in an envelope, signed. Pure.

The shapes are those of the event ``wxa_media_check``, versions 1 and 2, and of "Message push".
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from typing import Any, Literal
from urllib.parse import urlencode

from config.settings import MiniProgram
from sandbox.answers import verdict_of
from sandbox.scenarios import Scenario
from wechat.push.envelope import encrypt, sign

Mode = Literal["plain", "compatible", "secure"]
Format = Literal["json", "xml"]

#: the platform's own account: every push comes from it
SENDER = "o4_sandboxPlatform0000000000"

_CONTENT_TYPES = {"json": "application/json", "xml": "text/xml"}
_ERRORS = {-1008: "下载错误，请检查媒体链接是否有效", 43104: "appid not match with openid"}


def verdict(appid: str, trace_id: str, version: int, scenario: Scenario, strings: bool) -> dict[str, Any]:
    """Return the fields of the push of a verdict, or of a failure. ``strings`` makes every number a string."""
    message: dict[str, Any] = {
        "ToUserName": f"gh_{hashlib.sha256(appid.encode()).hexdigest()[:12]}",
        "FromUserName": SENDER,
        "CreateTime": int(time.time()),
        "MsgType": "event",
        "Event": "wxa_media_check",
    }
    message.update(
        _v1(appid, trace_id, scenario) if version == 1 else {"appid": appid, "trace_id": trace_id, **_v2(scenario)}
    )
    return _stringed(message) if strings else message


def _v1(appid: str, trace_id: str, scenario: Scenario) -> dict[str, Any]:
    suggest, _ = verdict_of(scenario)
    tail: dict[str, Any] = {"extra_info_json": "", "appid": appid, "trace_id": trace_id}
    if scenario.error is not None:
        # an unsigned 32-bit number, in the platform's form
        return {"isrisky": 0, **tail, "status_code": scenario.error & 0xFFFFFFFF, "detail": []}
    head = {} if scenario.no_result else {"isrisky": int(suggest == "risky")}
    return {**head, **tail, "status_code": 0}


def _v2(scenario: Scenario) -> dict[str, Any]:
    if scenario.error is not None:
        message = _ERRORS.get(scenario.error, "system error")
        return {"version": 2, "detail": [], "errcode": scenario.error, "errmsg": message}
    suggest, label = verdict_of(scenario)
    told = {"strategy": "content_model", "errcode": 0, "suggest": suggest, "label": label, "prob": 90}
    # the entries after the first failed by themselves and contradict it: a program that reads any of them reads wrongly
    other = ("risky", 21000) if suggest == "pass" else ("pass", 100)
    failed = {"strategy": "content_model", "errcode": -1, "suggest": other[0], "label": other[1], "prob": 0}
    detail = [dict(failed) if i else told for i in range(scenario.details)]
    body: dict[str, Any] = {"version": 2, "detail": detail, "errcode": 0, "errmsg": "ok"}
    if not scenario.no_result:
        body["result"] = {"suggest": suggest, "label": label}
    return body


def _stringed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _stringed(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_stringed(inner) for inner in value]
    return str(value) if isinstance(value, int) else value


def sealed(
    message: dict[str, Any], program: MiniProgram, mode: Mode, form: Format, at: float | None = None
) -> tuple[str, bytes, str]:
    """Return query string, body and Content-Type of one delivery: current ``timestamp`` (or ``at``, in seconds since
    the epoch), random ``nonce``, signed.

    ``program`` has a ``push_token``, and a ``push_aes_key`` unless ``mode`` is plain.
    """
    token, query = _signed(program, at)
    timestamp, nonce = query["timestamp"], query["nonce"]
    query["openid"] = SENDER
    if mode != "plain":
        if program.push_aes_key is None:
            raise ValueError(f"{program.appid} has no push_aes_key to encrypt with")
        plain = encode(message, form)
        receiver = program.component_appid or program.appid
        envelope = encrypt(plain, receiver, program.push_aes_key.get_secret_value())
        query |= {"encrypt_type": "aes", "msg_signature": sign(token, timestamp, nonce, envelope)}
        beside = message if mode == "compatible" else {"ToUserName": message["ToUserName"]}
        message = {**beside, "Encrypt": envelope}
    return urlencode(query), encode(message, form), _CONTENT_TYPES[form]


def url_check(program: MiniProgram, echo: str, at: float | None = None) -> str:
    """Return the query string of the platform's check of the push URL. The right answer is ``echo``."""
    return urlencode(_signed(program, at)[1] | {"echostr": echo})


def _signed(program: MiniProgram, at: float | None) -> tuple[str, dict[str, str]]:
    """Return the token, and the query that it signs."""
    if program.push_token is None:
        raise ValueError(f"{program.appid} has no push_token to sign with")
    token = program.push_token.get_secret_value()
    timestamp, nonce = str(int(time.time() if at is None else at)), str(secrets.randbelow(2_000_000_000))
    return token, {"signature": sign(token, timestamp, nonce), "timestamp": timestamp, "nonce": nonce}


def encode(message: dict[str, Any], form: Format) -> bytes:
    """Return the message as raw UTF-8, JSON or XML."""
    if form == "json":
        return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
    return _element("xml", message).encode()


def _element(name: str, value: Any) -> str:
    if isinstance(value, list):  # a list is its element repeated; an empty one leaves nothing
        return "".join(_element(name, entry) for entry in value)
    if isinstance(value, dict):
        return f"<{name}>{''.join(_element(key, inner) for key, inner in value.items())}</{name}>"
    if isinstance(value, int):
        return f"<{name}>{value}</{name}>"
    # the only sequence that CDATA cannot hold is its own end
    text = str(value).replace("]]>", "]]]]><![CDATA[>")
    return f"<{name}><![CDATA[{text}]]></{name}>"
