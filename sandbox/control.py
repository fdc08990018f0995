"""The control API: the sandbox's own endpoints, which WeChat does not have.

==================================  ==================================================================================
``GET /sandbox/options``            every option with its value
``PATCH /sandbox/options``          ``{"fault_busy": 0.1}``: changes these and answers all; 400 names what is wrong, and
                                    then nothing has changed
``POST /sandbox/reset``             as after the start: no tokens, counts, checks or pushes on their way, first options
``POST /sandbox/tokens/invalidate`` every live token dies at once: ``{"invalidated": 2}``
``GET /sandbox/stats``              ``{"calls": {path: n}, "answers": {path: {errcode: n}}, "pushes": {"sent": n,
                                    "answers": {status: n}}, "waiting": n}``; a call that was not answered JSON counts
                                    as ``http 502``, ``html``, ``garbage`` or ``reset``, a push without answer as
                                    ``none``; ``waiting`` is the number of deliveries still to come, those
                                    of calls that are not answered yet among them
``GET /sandbox/checks?limit=100``   the last media checks, the newest first (at most the last 10,000): ``trace_id``,
                                    ``appid``, ``kind``, ``version``, ``at``, ``pushes`` sent, ``status`` of the last
``POST /sandbox/pushes``            ``{"trace_id": …}``: delivers that push once more, now, also a lost one, and answers
                                    ``{"trace_id": …, "status": 200}``; ``null`` where the receiver did not answer
==================================  ==================================================================================
"""

from __future__ import annotations

import json
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.options import OptionError
from sandbox.pushes import KEPT_CHECKS
from sandbox.state import State
from sandbox.transport import read_request


async def get_options(request: Request) -> Response:
    return JSONResponse(_state(request).options.model_dump(mode="json"))


async def patch_options(request: Request) -> Response:
    try:
        _state(request).change(await _object(request))
    except OptionError as error:
        return JSONResponse({"error": str(error)}, status_code=400)
    return await get_options(request)


async def reset(request: Request) -> Response:
    _state(request).reset()
    return JSONResponse({})


async def invalidate_tokens(request: Request) -> Response:
    return JSONResponse({"invalidated": _state(request).tokens.invalidate()})


async def stats(request: Request) -> Response:
    state = _state(request)
    return JSONResponse(state.stats.report(state.pushes.waiting))


async def checks(request: Request) -> Response:
    limit = request.query_params.get("limit", "100")
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:9]) <= KEPT_CHECKS:
        raise HTTPException(400, f"limit must be a number from 1 to {KEPT_CHECKS}")
    return JSONResponse([delivery.report() for delivery in _state(request).pushes.recent(int(limit))])


async def push_again(request: Request) -> Response:
    state = _state(request)
    trace_id = (await _object(request)).get("trace_id")
    delivery = state.pushes.find(trace_id) if isinstance(trace_id, str) else None
    if delivery is None:
        raise HTTPException(404, "no such trace_id among the checks: see GET /sandbox/checks")
    return JSONResponse({"trace_id": delivery.trace_id, "status": await state.pushes.send(delivery)})


ROUTES = [
    Route("/sandbox/options", get_options, methods=["GET"]),
    Route("/sandbox/options", patch_options, methods=["PATCH"]),
    Route("/sandbox/reset", reset, methods=["POST"]),
    Route("/sandbox/tokens/invalidate", invalidate_tokens, methods=["POST"]),
    Route("/sandbox/stats", stats, methods=["GET"]),
    Route("/sandbox/checks", checks, methods=["GET"]),
    Route("/sandbox/pushes", push_again, methods=["POST"]),
]


def _state(request: Request) -> State:
    state: State = request.app.state.sandbox
    return state


async def _object(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await read_request(request))
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise HTTPException(400, "the body must be a JSON object")
    return body
