"""The guard of the board: the password, and the bounds for a browser."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import math
import re
import secrets
import time
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

from callbacks.bounded_log import BoundedLog
from config.logs import Log
from config.settings import is_loopback
from ops.board.guesses import PATIENCE, Guesses, address_of

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

#: paths open to everybody: their answers tell nothing
OPEN_PATHS = ("/livez",)

#: cookie of a browser that has known the password: others' guesses do not delay that browser
COOKIE = "wxcheck_board"
_COOKIE = re.compile(rf"(?:^|;)\s*{COOKIE}=([0-9a-f]{{64}})(?:;|$)")
#: guesses that wait at one time; each is a connection
MAX_WAITING = 100

_FOREIGN = (
    "This board listens on loopback and has no password, so it answers to the names of loopback only "
    "(localhost, 127.0.0.1). To reach it by another name, set WXCHECK_BOARD_PASSWORD.\n"
)

log = Log(__name__)


class Guard:
    """Lets in a request with the password; without a password set, a request to a name of this machine's loopback.

    The latter keeps out a foreign page whose own name was made to mean 127.0.0.1 (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, password: str | None) -> None:
        self._app = app
        self._password = hashlib.sha256(password.encode()).digest() if password is not None else None
        self._warnings = BoundedLog(log)
        self._guesses = Guesses()
        self._waiting = 0
        #: value of the cookie in this process: after a restart with another password a browser is asked anew
        self._pass = secrets.token_hex(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        more: dict[str, str] = {}

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update({**HEADERS, **more})
            await send(message)

        app: ASGIApp | None = None
        if scope["path"] not in OPEN_PATHS:
            headers = Headers(scope=scope)
            if self._password is None:
                app = self._foreign(headers)
            else:
                is_known = self._has_pass(headers)
                # browsers that have known the password are counted apart from strangers at the same address
                guesser = COOKIE if is_known else address_of(scope.get("client"))
                app = await self._refusal(headers, guesser, self._password)
                if app is None and not is_known:
                    more["set-cookie"] = f"{COOKIE}={self._pass}; HttpOnly; SameSite=Strict; Path=/"
        await (app or self._app)(scope, receive, send_guarded)

    def _foreign(self, headers: Headers) -> ASGIApp | None:
        if is_loopback(_name(headers.get("host", ""))):
            return None
        self._warnings.warning("board_refused", "asked for by a name that is none of loopback's", outcome="foreign")
        return PlainTextResponse(_FOREIGN, 421)

    async def _refusal(self, headers: Headers, guesser: str, password: bytes) -> ASGIApp | None:
        given = _password(headers.get("authorization", ""))
        if given is not None:
            wait = self._guesses.turn(guesser, time.monotonic())
            if not await self._wait(PATIENCE if wait is None else wait) or wait is None:
                self._warnings.warning("board_refused", "too many wrong passwords: not looked at", outcome="too_many")
                again = {"retry-after": str(math.ceil(PATIENCE))}
                return PlainTextResponse("Too many wrong passwords: try again in some seconds.\n", 429, again)
            if hmac.compare_digest(hashlib.sha256(given).digest(), password):
                self._guesses.right(guesser)
                return None
            self._warnings.warning("board_refused", "a wrong password", outcome="password")
        realm = {"www-authenticate": 'Basic realm="wxcheck", charset="UTF-8"'}
        return PlainTextResponse("The board's password (WXCHECK_BOARD_PASSWORD), with any user name.\n", 401, realm)

    async def _wait(self, seconds: float) -> bool:
        """Wait ``seconds``. Return False at once if too many requests wait already."""
        if seconds <= 0:
            return True
        if self._waiting >= MAX_WAITING:
            return False
        self._waiting += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self._waiting -= 1
        return True

    def _has_pass(self, headers: Headers) -> bool:
        shown = _COOKIE.search(headers.get("cookie", ""))
        return shown is not None and hmac.compare_digest(shown[1], self._pass)


def _name(host: str) -> str:
    """Return the name in a Host header, without its port; '' if the header has none."""
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
