"""Reading a request's body within its bounds."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from callbacks.outcomes import BadSignature, Incomplete, TooLarge
from callbacks.verification import MAX_BODY

#: seconds from the end of the head to the end of the body
BODY_SECONDS = 10
#: seconds for which the rest of a body that is too large is thrown away after the answer
_LINGER_SECONDS = 1


def check_announced(request: Request) -> None:
    """Raises TooLarge where the body says that it is larger than ``MAX_BODY``."""
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > MAX_BODY:
        raise TooLarge(f"the body is announced with more than {MAX_BODY} bytes")


async def read_body(request: Request, limit: int) -> bytes:
    """The body of ``request``, of ``limit`` bytes at the most; the rest of a longer one is not read.

    Raises:
        TooLarge, BadSignature: it has more; the latter where only a stranger's is bounded so.
        Incomplete: it did not come within ``BODY_SECONDS``.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    refusal = TooLarge if limit == MAX_BODY else BadSignature
                    raise refusal(f"the body has more than {limit} bytes")
    except TimeoutError:
        raise Incomplete(f"the body did not come within {BODY_SECONDS} s") from None
    except ClientDisconnect:
        raise Incomplete("the client left before the end of the body") from None
    return bytes(body)


class EarlyAnswer(PlainTextResponse):
    """An answer to a request whose body was not read to its end; the connection is closed after it.

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
