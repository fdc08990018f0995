"""Who may look at the board, and what a browser may do with it."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

from callbacks.bounded_log import BoundedLog
from config.logs import Log
from config.settings import is_loopback

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: nothing from elsewhere, nothing inline, no text made into code
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ]
)

HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]+))(?::\d{1,5})?")

#: open to everybody: it says nothing
OPEN_PATHS = ("/livez",)

_FOREIGN = (
    "This board listens on loopback and has no password, so it answers to the names of loopback only "
    "(localhost, 127.0.0.1). To reach it by another name, set WXCHECK_BOARD_PASSWORD.\n"
)

log = Log(__name__)


class Guard:
    """Lets in whoever knows the password; without one, whoever asks for this machine by a name of its loopback.

    The latter keeps out a page from elsewhere whose own name was made to mean 127.0.0.1 (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, password: str | None) -> None:
        self._app = app
        self._password = password.encode() if password is not None else None
        self._warnings = BoundedLog(log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        app = self._app if scope["path"] in OPEN_PATHS else self._refusal(Headers(scope=scope)) or self._app
        await app(scope, receive, send_guarded)

    def _refusal(self, headers: Headers) -> ASGIApp | None:
        if self._password is None:
            if is_loopback(_name(headers.get("host", ""))):
                return None
            self._warnings.warning("board_refused", "asked for by a name that is none of loopback's", outcome="foreign")
            return PlainTextResponse(_FOREIGN, 421)
        given = _password(headers.get("authorization", ""))
        if given is not None and hmac.compare_digest(given, self._password):
            return None
        if given is not None:
            self._warnings.warning("board_refused", "a wrong password", outcome="password")
        realm = {"www-authenticate": 'Basic realm="wxcheck", charset="UTF-8"'}
        return PlainTextResponse("The board's password (WXCHECK_BOARD_PASSWORD), with any user name.\n", 401, realm)


def _name(host: str) -> str:
    """The name in a Host header, without its port; nothing where it is none."""
    match = _HOST.fullmatch(host)
    return (match[1] or match[2]) if match else ""


def _password(authorization: str) -> bytes | None:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        _, colon, password = base64.b64decode(encoded, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return password if colon else None
