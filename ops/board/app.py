"""The board as an ASGI application: a page, its files, and the numbers that it shows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from importlib.metadata import version

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from config.settings import Settings
from ops.board.access import Guard
from ops.board.away import place
from ops.board.latest import Latest, Read

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def create_app(settings: Settings, read: Read) -> Starlette:
    """Return the board.

    Args:
        settings: the password, and the store's place, which is named if the store does not answer.
        read: returns the numbers; called in a thread, at most once a second. It may raise one of ``STORE_AWAY``.
    """
    latest = Latest(read, place(settings.redis_url), version("wxcheck"))
    files = page_files()

    async def file(request: Request) -> Response:
        name = request.path_params.get("name", "board.html")
        if name not in files:
            return PlainTextResponse("There is no such page.\n", 404)
        content, media_type = files[name]
        return Response(content, headers={"content-type": media_type})

    async def numbers(request: Request) -> Response:
        body = await latest.body()
        headers = {"content-type": "application/json", "vary": "accept-encoding"}
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(body.plain, headers=headers)
        return Response(body.zipped, headers={**headers, "content-encoding": "gzip"})

    async def livez(_: Request) -> Response:
        return PlainTextResponse("alive")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        latest.close()

    password = settings.board_password.get_secret_value() if settings.board_password is not None else None
    return Starlette(
        routes=[
            Route("/", file),
            Route("/numbers.json", numbers),
            Route("/livez", livez),
            Route("/{name}", file),
        ],
        middleware=[Middleware(Guard, password=password)],
        lifespan=lifespan,
    )


def page_files() -> dict[str, tuple[bytes, str]]:
    """Return content and media type of the page's files, by name."""
    found = {}
    for entry in resources.files("ops.board").joinpath("page").iterdir():
        media_type = next((kind for ending, kind in _TYPES.items() if entry.name.endswith(ending)), None)
        if media_type is not None:
            found[entry.name] = (entry.read_bytes(), media_type)
    return found
