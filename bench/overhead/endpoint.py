"""``python -m bench.overhead.endpoint``: ``python -m callbacks`` with what the bench changes.

``--bare``   the peer: the same server with the very same options, whatever these are, and in place of wxcheck's
             application one of the same framework that reads JSON and calls ``send_task``
Else it is wxcheck's own, and each request that was read is noted in the file that ``BENCH_NOTES`` names.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from typing import Any

import uvicorn
from kombu.transport import TRANSPORT_ALIASES
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bench.overhead.names import NOTES, PUSH_PATH, PUSH_QUEUE, RECEIVE
from bench.overhead.notes import Notebook

_NONCE = re.compile(rb"(?:^|&)nonce=(\d+)")


def bare_application() -> Starlette:
    """The peer's endpoint."""
    from bench.overhead.bare import HIDDEN, app

    async def push(request: Request) -> PlainTextResponse:
        body = await request.json()
        kwargs = {"push": body, "received_at": time.time()}
        app.send_task(RECEIVE, kwargs=kwargs, queue=PUSH_QUEUE, ignore_result=True, retry=False, **HIDDEN)
        return PlainTextResponse("success")

    async def ready(_: Request) -> PlainTextResponse:
        return PlainTextResponse("ready")

    return Starlette(routes=[Route(PUSH_PATH, push, methods=["POST"]), Route("/readyz", ready)])


def noting(application: ASGIApp) -> ASGIApp:
    """``application``, with a note of each request by its nonce when it was read."""
    notebook = Notebook(os.environ[NOTES])

    async def noted(scope: Scope, receive: Receive, send: Send) -> None:
        number = _NONCE.search(scope.get("query_string", b""))

        async def received() -> Message:
            message = await receive()
            if number is not None and message["type"] == "http.request" and not message.get("more_body"):
                notebook.note(int(number[1]))
            return message

        await application(scope, received, send)

    return noted


def use(change: Callable[[Any], ASGIApp]) -> None:
    """Has uvicorn serve what ``change`` makes of the application that it is given."""

    class Config(uvicorn.Config):
        def __init__(self, app: Any, **options: Any) -> None:
            super().__init__(change(app), **options)

    uvicorn.Config = Config  # type: ignore[assignment,misc]


def main() -> None:
    bare = sys.argv[1:] == ["--bare"]
    kombus = dict(TRANSPORT_ALIASES)

    def change(application: Any) -> ASGIApp:
        if not bare:
            return noting(application)
        # wxcheck's settings and app are read by now, which names wxcheck's transport
        TRANSPORT_ALIASES.update(kombus)
        return bare_application()

    use(change)
    from callbacks.__main__ import main as serve

    sys.argv = ["callbacks"]
    serve()


if __name__ == "__main__":
    main()
