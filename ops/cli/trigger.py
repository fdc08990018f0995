"""The pushes of ``wxcheck push trigger``, right ones and wrong ones, in WeChat's form. Pure."""

from __future__ import annotations

import base64
import secrets
import time
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import SecretStr

from sandbox.messages import Format, Mode, sealed, url_check, verdict
from sandbox.scenarios import Scenario

if TYPE_CHECKING:
    from config.settings import MiniProgram

What = Literal["pass", "review", "risky", "unfetchable", "event", "url-check"]
Fault = Literal["signature", "timestamp", "key", "appid", "trace-id", "body"]

#: errcode in the push of a file that could not be fetched
UNFETCHABLE = -1008
#: seconds; more than ten minutes are refused
STALE = 660
#: a Mini Program that nobody has
STRANGER = "wx" + "f" * 16


class Request(NamedTuple):
    """One request to a push URL."""

    method: Literal["GET", "POST"]
    query: str
    body: bytes
    content_type: str | None
    trace_id: str | None


def request_of(
    what: What,
    program: MiniProgram,
    *,
    version: int,
    trace_id: str | None,
    mode: Mode,
    form: Format,
    fault: Fault | None,
) -> Request:
    """Return the request of a push, or of the check of the push URL. ``trace_id``: None makes one up."""
    at = time.time() - (STALE if fault == "timestamp" else 0)
    signer = _faulty(program, fault)
    if what == "url-check":
        return Request("GET", url_check(signer, secrets.token_hex(8), at), b"", None, None)
    trace_id = trace_id or f"triggered-{secrets.token_hex(8)}"
    message = _message(what, signer.appid, version, trace_id)
    if fault == "trace-id":
        message.pop("trace_id", None)
    query, body, content_type = sealed(message, signer, mode, form, at)
    if fault == "body":
        body = b"neither JSON nor XML"
    return Request("POST", query, body, content_type, None if what == "event" else trace_id)


def _message(what: What, appid: str, version: int, trace_id: str) -> dict[str, Any]:
    scenario = Scenario(error=UNFETCHABLE) if what == "unfetchable" else Scenario(suggest=_SUGGEST.get(what))
    message = verdict(appid, trace_id, version, scenario, strings=False)
    if what == "event":
        return {name: message[name] for name in ("ToUserName", "FromUserName", "CreateTime", "MsgType")} | {
            "Event": "user_enter_tempsession",
            "SessionFrom": "wxcheck",
        }
    return message


_SUGGEST: dict[str, Literal["pass", "review", "risky"]] = {"pass": "pass", "review": "review", "risky": "risky"}


def _faulty(program: MiniProgram, fault: Fault | None) -> MiniProgram:
    """Return the Mini Program with the one setting of ``fault`` wrong; None: with none."""
    changes: dict[str, dict[str, Any]] = {
        "signature": {"push_token": SecretStr(secrets.token_hex(16))},
        "key": {"push_aes_key": SecretStr(base64.b64encode(secrets.token_bytes(32)).decode()[:43])},
        "appid": {"appid": STRANGER, "component_appid": None},
    }
    return program.model_copy(update=changes.get(fault or "", {}))
