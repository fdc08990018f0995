"""The reader of a request's body, within bounds of size and time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from wechat.push.outcomes import BadSignature, Incomplete, TooLarge
from wechat.push.verification import MAX_BODY

#: seconds from the end of the head to the end of the body
BODY_SECONDS = 10
#: seconds after the answer in which the rest of a body that is too large is thrown away
_LINGER_SECONDS = 1


def check_announced(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raise TooLarge if ``headers``, as in an ASGI scope, announce a body larger than ``MAX_BODY``."""
    for name, value in headers:
        if name == b"content-length" and value.isdigit() and int(value) > MAX_BODY:
            raise TooLarge(f"the body is announced with more than {MAX_BODY} bytes")


async def read_body(receive: Receive, limit: int) -> bytes:
    """Return the body of a request, of ``limit`` bytes at most; the rest of a longer body stays unread.

    Raises:
        TooLarge: the body has more bytes than ``limit``, which is ``MAX_BODY``.
        BadSignature: the body has more bytes than a smaller ``limit``, which is set for unsigned requests only.
        Incomplete: the body did not come within ``BODY_SECONDS``.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Incomplete("the client left before the end of the body")
                body += message.get("body", b"")
                if len(body) > limit:
                    refusal = TooLarge if limit == MAX_BODY else BadSignature
                    raise refusal(f"the body has more than {limit} bytes")
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise Incomplete(f"the body did not come within {BODY_SECONDS} s") from None


#: answers that throw away the rest of a body at the same time; beyond, the connection is closed at once
_MAX_LINGERING = 100
_lingering: set[object] = set()


class EarlyAnswer(PlainTextResponse):
    """An answer to a request whose body was not read to its end; closes the connection.

    A server that closes while bytes are still coming in resets the connection, and the client may never see the answer.
    So the rest of the body is thrown away for a moment first.
    """

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        self.headers["connection"] = "close"
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        if len(_lingering) < _MAX_LINGERING:
            _lingering.add(self)
            try:
                async with asyncio.timeout(_LINGER_SECONDS):
                    while (await receive()).get("more_body"):
                        pass
            except TimeoutError:
                pass  # the client goes on sending, and may lose its answer
            finally:
                _lingering.discard(self)
        await send({"type": "http.response.body", "body": b""})
