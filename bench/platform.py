"""What the benches' stand-ins for the platform share: HTTP on asyncio's bare protocol, and answers beside checks.

It must cost next to nothing beside the workers, so it reads no more of a request than it needs.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from wechat import checks, quotas
from wechat.token_calls import STABLE_TOKEN_PATH

TEXT_PATH, MEDIA_PATH, TOKEN_PATH, QUOTA_PATH = (
    path.encode() for path in (checks.TEXT_PATH, checks.MEDIA_PATH, STABLE_TOKEN_PATH, quotas.QUOTA_PATH)
)

#: an access token: this, and the appId
TOKEN = b"token-of-"

#: bytes of a request; the bench's are a few hundred
_LARGEST = 1 << 20


class HttpConnection(asyncio.Protocol):
    """One kept-alive connection, HTTP/1.1. What it is asked goes to :meth:`request`, its answers to :meth:`send`."""

    def __init__(self) -> None:
        self._received = b""
        #: of the latest request
        self.query = b""

    def request(self, path: bytes, body: bytes) -> None:
        """Answers a request that is there in full, now or later."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a TCP server it is one
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > _LARGEST:
            self._transport.abort()
            return
        while (request := self._next_request()) is not None:
            self.request(*request)

    def send(self, body: bytes) -> None:
        """Sends an answer; where the other side has gone by then, nothing."""
        if not self._transport.is_closing():
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            self._transport.write(head.encode() + body)

    def _next_request(self) -> tuple[bytes, bytes] | None:
        """Path and body of a request that is there in full."""
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return None
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length":
                length = int(value)
        if len(rest) < length:
            return None
        self._received = rest[length:]
        target = head.split(b" ", 2)[1]
        path, _, self.query = target.partition(b"?")
        return path, rest[:length]


def answer_beside(path: bytes, body: bytes, used: dict[str, int]) -> dict[str, Any]:
    """What the platform answers to what is no check; ``used``: calls so far, by lane."""
    if path == TOKEN_PATH:
        return {"access_token": TOKEN.decode() + json.loads(body).get("appid", ""), "expires_in": 7200}
    if path == QUOTA_PATH:
        return _quota(body, used)
    return {"errcode": 40066, "errmsg": f"invalid url {path.decode(errors='replace')}"}


def appid_in(query: bytes) -> str:
    """The appId whose token signs a request."""
    return query.rpartition(TOKEN)[2].partition(b"&")[0].decode()


def _quota(body: bytes, used: dict[str, int]) -> dict[str, Any]:
    try:
        asked = json.loads(body)["cgi_path"]
    except (ValueError, KeyError, TypeError):
        return {"errcode": 47001, "errmsg": "data format error"}
    lane = "media" if asked == MEDIA_PATH.decode() else "text"
    a_day, a_minute = (200_000, 2_000) if lane == "media" else (2_000_000, 4_000)
    return {
        "errcode": 0,
        "errmsg": "ok",
        "quota": {"daily_limit": a_day, "used": used[lane], "remain": a_day - used[lane]},
        "rate_limit": {"call_count": a_minute, "refresh_second": 60},
    }
