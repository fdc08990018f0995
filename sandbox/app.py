"""The sandbox as an ASGI application: WeChat's endpoints, and those that control it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Route

from sandbox import access, checks, control
from sandbox.state import State
from wechat.checks import MEDIA_PATH, TEXT_PATH
from wechat.quotas import QUOTA_PATH
from wechat.token_calls import CLASSIC_TOKEN_PATH, STABLE_TOKEN_PATH

#: the platform answers a wrong method itself, with an errcode
_ANY = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def make_app(state: State) -> Starlette:
    """Return the application of ``state``. Its pushes stop with the application."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        state.pushes.close()

    app = Starlette(
        routes=[
            Route(TEXT_PATH, checks.text, methods=_ANY),
            Route(MEDIA_PATH, checks.media, methods=_ANY),
            Route(STABLE_TOKEN_PATH, access.stable_token, methods=_ANY),
            Route(CLASSIC_TOKEN_PATH, access.classic_token, methods=_ANY),
            Route(QUOTA_PATH, access.quota, methods=_ANY),
            *control.ROUTES,
        ],
        lifespan=lifespan,
    )
    app.state.sandbox = state
    return app
