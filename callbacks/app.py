"""The endpoint: verify, decode, publish, answer. A push needs no look-up in the store."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from celery import Celery
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from callbacks.body import EarlyAnswer, check_announced, read_body
from callbacks.bounded_log import BoundedLog
from callbacks.metrics import Metrics
from callbacks.probe import Probe, Unanswered, broker_probe, store_probe
from callbacks.publisher import Publisher
from config.logs import Log
from config.settings import MiniProgram, Settings
from wechat.push.messages import normalised_push
from wechat.push.outcomes import Outcome, Refusal, UnknownAppid
from wechat.push.verification import Params, check_query, check_url, open_body, read_query

if TYPE_CHECKING:
    from store.watch.reporter import Reporter

#: reads the metrics that are the same on every endpoint; may block, may fail
ReadCluster = Callable[[], list[Metric]]

#: the push URL of the default Mini Program; the URL of another one ends in its appId
PATH = "/wechat/push"

#: times that the text of ``/metrics`` may be made anew: in a burst, and each second after the burst
FRESH_AT_ONCE, FRESH_PER_SECOND = 100, 50

log = Log(__name__)

_SUCCESS = b"success"
_SUCCESS_HEADERS = [(b"content-length", b"7"), (b"content-type", b"text/plain; charset=utf-8")]


def create_app(
    settings: Settings,
    celery_app: Celery,
    read_cluster: ReadCluster = list,
    reporter: Reporter | None = None,
) -> ASGIApp:
    """Return the endpoint as an ASGI application.

    Args:
        settings: the Mini Programs whose pushes the endpoint takes, and the store for ``/readyz``.
        celery_app: names the broker; the endpoint opens connections of its own.
        read_cluster: reads the metrics of the whole cluster, for ``/metrics``.
        reporter: tells the store that the endpoint runs, and the outcome of each request.
    """
    return _Endpoint(settings, celery_app, read_cluster, reporter)


class _Endpoint:
    def __init__(
        self,
        settings: Settings,
        celery_app: Celery,
        read_cluster: ReadCluster,
        reporter: Reporter | None,
    ) -> None:
        self._reporter = reporter
        self._programs = settings.programs
        self._default_appid = settings.default_appid
        self._publisher = Publisher(celery_app)
        self._servers: list[Probe[None]] = [broker_probe(celery_app), store_probe(settings)]
        self._cluster = Probe("numbers", read_cluster)
        self._metrics = Metrics()
        self._warnings = BoundedLog(log)
        #: the text of /metrics, and the number of times it may still be made anew
        self._text = b""
        self._fresh, self._filled_at = float(FRESH_AT_ONCE), time.monotonic()
        self._routes = self._router()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            path = scope["path"]
            if path == PATH:
                return await self._push(self._default_appid, scope, receive, send)
            base, _, appid = path.rpartition("/")
            if base == PATH and appid:
                return await self._push(appid, scope, receive, send)
        return await self._routes(scope, receive, send)

    def _router(self) -> Starlette:
        """Return the routes of all requests but pushes, for which a router would be a third of the work."""
        application = Starlette(
            routes=[
                Route(PATH, self.url_check, methods=["GET"]),
                Route(PATH + "/{appid}", self.url_check, methods=["GET"]),
                Route("/livez", self.livez),
                Route("/readyz", self.readyz),
                Route("/metrics", self.metrics),
            ],
            lifespan=self._lifespan,
        )
        application.router.redirect_slashes = False  # the platform follows no redirect
        return application

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self._publisher.warm_up()
        if self._reporter is not None:
            self._reporter.start()
        yield
        if self._reporter is not None:
            # in a thread: the store may be away
            await asyncio.to_thread(self._reporter.stop)
        await self._publisher.close()
        for server in self._servers:
            server.close()
        self._cluster.close()

    async def url_check(self, request: Request) -> Response:
        appid = request.path_params.get("appid", self._default_appid)
        try:
            echo = check_url(self._program(appid), request.query_params.multi_items(), time.time())
        except Refusal as refusal:
            self._refused("GET", appid, refusal)
            return PlainTextResponse(refusal.outcome, refusal.status)
        self._count(Outcome.URL_CHECK)
        return PlainTextResponse(echo, headers={"x-content-type-options": "nosniff"})

    async def livez(self, _: Request) -> Response:
        return PlainTextResponse("alive")

    async def readyz(self, _: Request) -> Response:
        states = dict(await asyncio.gather(*map(self._state, self._servers)))
        return JSONResponse(states, 200 if set(states.values()) == {"ok"} else 503)

    async def metrics(self, _: Request) -> Response:
        try:
            cluster = await self._cluster.ask()
        except Unanswered as error:
            self._warnings.warning("counters_not_read", f"the store does not tell the cluster's numbers: {error}")
            cluster = None
        return Response(self._exposition(cluster), headers={"content-type": CONTENT_TYPE_LATEST})

    def _exposition(self, cluster: list[Metric] | None) -> bytes:
        """Return the text of ``/metrics``, which costs milliseconds: under many requests some get the text before."""
        now = time.monotonic()
        self._fresh = min(FRESH_AT_ONCE, self._fresh + (now - self._filled_at) * FRESH_PER_SECOND)
        self._filled_at = now
        if self._fresh >= 1:
            self._fresh -= 1
            self._text = self._metrics.exposition(cluster)
        return self._text

    async def _push(self, appid: str | None, scope: Scope, receive: Receive, send: Send) -> None:
        answer: type[PlainTextResponse] = EarlyAnswer  # until the body is read
        try:
            check_announced(scope["headers"])
            program = self._program(appid)
            params = read_query(scope["query_string"])
            body = await read_body(receive, check_query(program, params, time.time()))
            answer = PlainTextResponse
            outcome = await self._take(program, params, body)
        except Refusal as refusal:
            self._refused("POST", appid, refusal)
            await answer(refusal.outcome, refusal.status)(scope, receive, send)
        else:
            self._count(outcome)
            await send({"type": "http.response.start", "status": 200, "headers": _SUCCESS_HEADERS})
            await send({"type": "http.response.body", "body": _SUCCESS})

    async def _take(self, program: MiniProgram, params: Params, body: bytes) -> Outcome:
        push = normalised_push(open_body(program, params, body))
        if push is None:
            return Outcome.NOT_A_VERDICT
        began = time.perf_counter()
        try:
            await self._publisher.publish(program.appid, push)
        finally:
            self._metrics.publish_seconds.observe(time.perf_counter() - began)
        log.info("push_queued", "it is on its way to a worker", appid=program.appid, trace_id=push["trace_id"])
        return Outcome.QUEUED

    def _count(self, outcome: Outcome) -> None:
        self._metrics.count(outcome)
        if self._reporter is not None:
            self._reporter.statistics.count("request", outcome)

    def _program(self, appid: str | None) -> MiniProgram:
        program = self._programs.get(appid) if appid is not None else None
        if program is None:
            raise UnknownAppid("no default Mini Program is set" if appid is None else "no such Mini Program is set")
        return program

    def _refused(self, method: str, appid: str | None, refusal: Refusal) -> None:
        self._count(refusal.outcome)
        if appid is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", appid):
            appid = None  # the log does not repeat a stranger's text
        self._warnings.warning(
            "push_refused" if method == "POST" else "url_check_refused",
            f"{refusal}. Remedy: {refusal.remedy}.",
            outcome=refusal.outcome.value,
            status=refusal.status,
            appid=appid,
        )

    async def _state(self, server: Probe[None]) -> tuple[str, str]:
        try:
            await server.ask()
        except Unanswered as error:
            self._warnings.warning("not_ready", f"it does not answer: {error}", server=server.name)
            return server.name, "down"
        return server.name, "ok"
