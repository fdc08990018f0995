"""The requests of pushes, ready to be written to a connection: signed and encrypted, or plain JSON. Pure.

The ``nonce`` of the query is the check's number, so that who reads a request knows which one it is.
"""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import urlencode

from bench.overhead.names import PUSH_AES_KEY, PUSH_PATH, PUSH_TOKEN, trace_id
from bench.servers import APPID
from wechat.push.envelope import encrypt, sign


def message(number: int, *, alone: bool = False) -> dict[str, Any]:
    """What the platform pushes of a picture, version 1; ``alone`` marks one that belongs to no check."""
    said = {
        "ToUserName": "gh_0123456789ab",
        "FromUserName": "o4_platform0000000000000000",
        "CreateTime": 1_800_000_000,
        "MsgType": "event",
        "Event": "wxa_media_check",
        "isrisky": 0,
        "extra_info_json": "",
        "appid": APPID,
        "trace_id": trace_id(number),
        "status_code": 0,
    }
    return {**said, "alone": True} if alone else said


def request(number: int, *, sealed: bool, alone: bool = False) -> bytes:
    """A POST of the push of that number, as of now."""
    body: dict[str, Any] = message(number, alone=alone)
    timestamp, nonce = str(int(time.time())), str(number)
    query = {"signature": sign(PUSH_TOKEN, timestamp, nonce), "timestamp": timestamp, "nonce": nonce}
    if sealed:
        envelope = encrypt(_json(body), APPID, PUSH_AES_KEY)
        query |= {"encrypt_type": "aes", "msg_signature": sign(PUSH_TOKEN, timestamp, nonce, envelope)}
        body = {"ToUserName": body["ToUserName"], "Encrypt": envelope}
    content = _json(body)
    head = (
        f"POST {PUSH_PATH}?{urlencode(query)} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Mozilla/4.0\r\n"
        f"Accept: */*\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
