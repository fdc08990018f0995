"""Reading a request's body within its bounds."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from callbacks.outcomes import Incomplete, TooLarge

#: bytes; the platform's pushes are a few thousand
MAX_BODY = 1 << 20
#: seconds from the end of the head to the end of the body
BODY_SECONDS = 10
#: seconds for which the rest of a body that is too large is thrown away after the answer
_LINGER_SECONDS = 1


async def read_body(request: Request) -> bytes:
    """The body of ``request``.

    Raises:
        TooLarge: it is, or says that it is, larger than ``MAX_BODY``. The rest is not read.
        Incomplete: it did not come within ``BODY_SECONDS``.
    """
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > MAX_BODY:
        raise TooLarge(f"the body is announced with more than {MAX_BODY} bytes")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise TooLarge(f"the body has more than {MAX_BODY} bytes")
    except TimeoutError:
        raise Incomplete(f"the body did not come within {BODY_SECONDS} s") from None
    except ClientDisconnect:
        raise Incomplete("the client left before the end of the body") from None
    return bytes(body)


class EarlyAnswer(PlainTextResponse):
    """An answer before the body has been read; the connection is closed after it.

    A server that closes while bytes are still coming in resets the connection, and the client may never see the
    answer. So what comes is thrown away for a moment first.
    """

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        self.headers["connection"] = "close"
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while (await receive()).get("more_body"):
                    pass
        except TimeoutError:
            pass  # it goes on sending: that is its own affair now
        await send({"type": "http.response.body", "body": b""})
