"""The server of ``wxcheck push listen``: shows each request to a push URL, and answers as the endpoint would."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from callbacks.body import EarlyAnswer, check_announced, read_body
from callbacks.bounded_log import BoundedLines
from callbacks.protocol import Protocol
from ops.cli.arrival import Arrival, arrived
from wechat.push.outcomes import Refusal
from wechat.push.verification import MAX_UNSIGNED, check_query

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from config.settings import MiniProgram, Settings

#: path of pushes; an appId may follow
PATH = "/wechat/push"


class Listener:
    """Listen on ``sock`` until it is told to stop. ``show`` gets method, path, client and reading of each request.

    ``appid``: the Mini Program of a push whose path names none.
    """

    def __init__(
        self, settings: Settings, appid: str | None, show: Callable[[str, str, str, Arrival], None], *, once: bool
    ) -> None:
        self._programs = settings.programs
        self._default = appid or settings.default_appid
        self._show = show
        self._once = once
        #: the latest request
        self.last: Arrival | None = None
        route = Route("/{path:path}", self._answer, methods=["GET", "POST"])
        config = uvicorn.Config(
            Starlette(routes=[route]),
            log_config=None,
            access_log=False,  # uvicorn's lines hold the query, and so the signatures
            server_header=False,
            lifespan="off",
            ws="none",
            limit_concurrency=100,
            http=Protocol,
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)

    def run(self, sock: socket.socket, seconds: float | None) -> None:
        """Serve until Ctrl-C or SIGTERM, until the first request with ``once``, or until ``seconds`` are over."""
        for number in (signal.SIGTERM, signal.SIGINT):
            # uvicorn raises the signal again after it has stopped
            signal.signal(number, lambda *_: sys.exit(0))
        if logging.lastResort is not None:
            logging.lastResort.addFilter(BoundedLines(logging.lastResort))
        asyncio.run(self._serve(sock, seconds))

    async def _serve(self, sock: socket.socket, seconds: float | None) -> None:
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, self._stop)
        await self._server.serve([sock])

    def _stop(self) -> None:
        self._server.should_exit = True

    async def _answer(self, request: Request) -> Response:
        program = self._program(request.url.path)
        params, now = request.query_params.multi_items(), time.time()
        answer: Any = PlainTextResponse
        try:
            body = await self._body(request, program, params, now)
            arrival = arrived(program, request.method, params, body, now)
        except Refusal as refusal:
            answer = EarlyAnswer
            arrival = Arrival(refusal.outcome, refusal.status, refusal.outcome, False, str(refusal), refusal.remedy)
        self.last = arrival
        client = request.client.host if request.client else "-"
        self._show(request.method, request.url.path, client, arrival)
        if self._once:
            self._stop()
        response: Response = answer(arrival.answer, arrival.status, headers={"x-content-type-options": "nosniff"})
        return response

    async def _body(self, request: Request, program: MiniProgram | None, params: Any, now: float) -> bytes:
        """Read the body; of a request that is not WeChat's, as much as tells its mode and format."""
        if request.method != "POST":
            return b""
        check_announced(request.headers.raw)
        try:
            limit = check_query(program, params, now) if program is not None else MAX_UNSIGNED
        except Refusal:
            limit = MAX_UNSIGNED
        return await read_body(request.receive, limit)

    def _program(self, path: str) -> MiniProgram | None:
        appid = path.removeprefix(PATH + "/") if path.startswith(PATH + "/") else self._default
        return self._programs.get(appid) if appid else None
