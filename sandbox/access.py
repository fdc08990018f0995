"""The endpoints about access: both tokens, and ``quota/get``."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sandbox.answers import Refused, encode, refusal
from sandbox.platform import read_body
from sandbox.state import State
from sandbox.transport import read_request
from wechat.checks import MEDIA_PATH, TEXT_PATH
from wechat.quotas import QUOTA_PATH
from wechat.token_calls import CLASSIC_TOKEN_PATH, STABLE_TOKEN_PATH

_HEADERS = {"content-type": "application/json; encoding=utf-8"}

Answering = Callable[[State, Request], Awaitable[dict[str, Any]]]


async def stable_token(request: Request) -> Response:
    return await _answered(request, STABLE_TOKEN_PATH, _stable_token)


async def classic_token(request: Request) -> Response:
    return await _answered(request, CLASSIC_TOKEN_PATH, _classic_token)


async def quota(request: Request) -> Response:
    return await _answered(request, QUOTA_PATH, _quota)


def caller_of(state: State, request: Request, path: str, open_interface: bool = False) -> str:
    """Return the appId that calls ``path`` with the token in the query. The call counts against its quota.

    A call with a token that is known but dead counts too. ``open_interface``: no token is needed.

    Raises:
        Refused: 41001, 40001, 42001 for the token; 45009, 44991, 45011, 44990 for the quota.
    """
    query = request.query_params
    errcode = 0
    appid: str | None = state.default_appid
    if token := query.get("access_token"):
        appid, errcode = state.tokens.owner(token)
    elif token := query.get("cloudbase_access_token"):
        expected = state.options.cloudbase_token
        if expected is None or token != expected.get_secret_value():
            appid, errcode = None, 40001
    elif not open_interface:
        appid, errcode = None, 41001
    if appid is not None:
        state.quotas.spend(appid, path, state.limits(appid, path))
    if errcode or appid is None:
        raise Refused(errcode)
    return appid


async def _answered(request: Request, path: str, answering: Answering) -> Response:
    state: State = request.app.state.sandbox
    state.stats.calls[path] += 1
    try:
        answer = await answering(state, request)
    except Refused as refused:
        answer = refusal(refused.errcode, refused.ip)
    state.stats.answers[path][str(answer.get("errcode", 0))] += 1
    return Response(encode(answer), headers=_HEADERS)


async def _stable_token(state: State, request: Request) -> dict[str, Any]:
    if request.method != "POST":
        raise Refused(43002)
    body, _ = read_body(await read_request(request))
    appid = _authenticate(state, request, STABLE_TOKEN_PATH, body)
    options = state.options
    token, left = state.tokens.stable(
        appid, body.get("force_refresh") is True, options.token_seconds, options.token_overlap_seconds
    )
    return {"access_token": token, "expires_in": left}


async def _classic_token(state: State, request: Request) -> dict[str, Any]:
    if request.method != "GET":
        raise Refused(43001)
    appid = _authenticate(state, request, CLASSIC_TOKEN_PATH, request.query_params)
    options = state.options
    token, left = state.tokens.classic(appid, options.token_seconds, options.token_overlap_seconds)
    return {"access_token": token, "expires_in": left}


def _authenticate(state: State, request: Request, path: str, given: Any) -> str:
    if given.get("grant_type") != "client_credential":
        raise Refused(40002)
    appid, secret = given.get("appid"), given.get("secret")
    if not appid:
        raise Refused(41002)
    if not secret:
        raise Refused(41004)
    program = state.programs.get(appid) if isinstance(appid, str) else None
    if program is None:
        raise Refused(40013)
    state.quotas.spend(program.appid, path, state.limits(program.appid, path))
    if program.secret is None or secret != program.secret.get_secret_value():
        raise Refused(40125)
    if state.options.ip_refused:
        raise Refused(40164, ip=request.client.host if request.client else "127.0.0.1")
    if random.random() < state.options.fault_token:  # noqa: S311
        raise Refused(-1)
    return program.appid


async def _quota(state: State, request: Request) -> dict[str, Any]:
    if request.method != "POST":
        raise Refused(43002)
    appid = caller_of(state, request, QUOTA_PATH, open_interface=state.options.open_interface)
    body, _ = read_body(await read_request(request))
    path = body.get("cgi_path")
    if path not in (TEXT_PATH, MEDIA_PATH, STABLE_TOKEN_PATH, CLASSIC_TOKEN_PATH, QUOTA_PATH):
        raise Refused(76021)
    limits = state.limits(appid, path)
    used = min(state.quotas.used_today(appid, path), limits.per_day)
    return {
        "errcode": 0,
        "errmsg": "ok",
        "quota": {"daily_limit": limits.per_day, "used": used, "remain": limits.per_day - used},
        "rate_limit": {"call_count": limits.per_minute, "refresh_second": 60},
    }
