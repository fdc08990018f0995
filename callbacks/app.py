"""The endpoint: verify, decode, publish, answer. It looks nothing up."""

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

from callbacks.body import EarlyAnswer, check_announced, read_body
from callbacks.bounded_log import BoundedLog
from callbacks.messages import media_verdict
from callbacks.metrics import Metrics
from callbacks.outcomes import Outcome, Refusal, UnknownAppid
from callbacks.probe import Probe, Unanswered, broker_probe, store_probe
from callbacks.publisher import Publisher
from callbacks.verification import check_query, check_url, open_push
from config.logs import Log
from config.settings import MiniProgram, Settings

if TYPE_CHECKING:
    from worker.reporter import Reporter

#: the metrics that every endpoint tells alike; may block, may fail
ReadCluster = Callable[[], list[Metric]]

log = Log(__name__)


def create_app(
    settings: Settings,
    celery_app: Celery,
    read_cluster: ReadCluster = list,
    reporter: Reporter | None = None,
) -> Starlette:
    """The endpoint as an ASGI application.

    Args:
        settings: with the Mini Programs whose pushes are taken, and the store that ``/readyz`` asks.
        celery_app: says where the broker is; its connections are not used.
        reporter: tells the store what became of the requests, and that the endpoint runs.
        read_cluster: the metrics of the whole cluster, for ``/metrics``.
    """
    return _Endpoint(settings, celery_app, read_cluster, reporter).application()


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

    def application(self) -> Starlette:
        application = Starlette(
            routes=[
                Route("/wechat/push", self.url_check, methods=["GET"]),
                Route("/wechat/push", self.push, methods=["POST"]),
                Route("/wechat/push/{appid}", self.url_check, methods=["GET"]),
                Route("/wechat/push/{appid}", self.push, methods=["POST"]),
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
        self._publisher.close()
        for server in self._servers:
            server.close()
        self._cluster.close()

    async def url_check(self, request: Request) -> Response:
        try:
            echo = check_url(self._program(request), request.query_params.multi_items(), time.time())
        except Refusal as refusal:
            return self._refused(request, refusal)
        self._count(Outcome.URL_CHECK)
        return PlainTextResponse(echo, headers={"x-content-type-options": "nosniff"})

    async def push(self, request: Request) -> Response:
        try:
            outcome = await self._take(request)
        except Refusal as refusal:
            return self._refused(request, refusal)
        self._count(outcome)
        return PlainTextResponse("success")

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
        return Response(self._metrics.exposition(cluster), headers={"content-type": CONTENT_TYPE_LATEST})

    async def _take(self, request: Request) -> Outcome:
        check_announced(request)
        program = self._program(request)
        params, now = request.query_params.multi_items(), time.time()
        body = await read_body(request, check_query(program, params, now))
        request.state.body_was_read = True
        message = open_push(program, params, body, now)
        verdict = media_verdict(message)
        if verdict is None:
            return Outcome.NOT_A_VERDICT
        with self._metrics.publish_seconds.time():
            await self._publisher.publish(program.appid, verdict)
        log.info("push_queued", "it is on its way to a worker", appid=program.appid, trace_id=verdict["trace_id"])
        return Outcome.QUEUED

    def _count(self, outcome: Outcome) -> None:
        self._metrics.count(outcome)
        if self._reporter is not None:
            self._reporter.statistics.request(outcome)

    def _program(self, request: Request) -> MiniProgram:
        appid = request.path_params.get("appid", self._default_appid)
        program = self._programs.get(appid) if appid is not None else None
        if program is None:
            raise UnknownAppid("no default Mini Program is set" if appid is None else "no such Mini Program is set")
        return program

    def _refused(self, request: Request, refusal: Refusal) -> Response:
        self._count(refusal.outcome)
        appid = request.path_params.get("appid", self._default_appid)
        if appid is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", appid):
            appid = None  # a stranger's text is none of ours to repeat
        self._warnings.warning(
            "push_refused" if request.method == "POST" else "url_check_refused",
            f"{refusal}. Remedy: {refusal.remedy}.",
            outcome=refusal.outcome.value,
            status=refusal.status,
            appid=appid,
        )
        read = request.method != "POST" or getattr(request.state, "body_was_read", False)
        answer = PlainTextResponse if read else EarlyAnswer
        return answer(refusal.outcome, refusal.status)

    async def _state(self, server: Probe[None]) -> tuple[str, str]:
        try:
            await server.ask()
        except Unanswered as error:
            self._warnings.warning("not_ready", f"it does not answer: {error}", server=server.name)
            return server.name, "down"
        return server.name, "ok"
