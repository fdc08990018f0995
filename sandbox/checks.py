"""The endpoints of both checks."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from sandbox.access import caller_of
from sandbox.answers import Refused, encode, media_answer, refusal, text_answer, three_words
from sandbox.messages import verdict
from sandbox.options import Options
from sandbox.platform import Check, read_media, read_text
from sandbox.pushes import Delivery
from sandbox.scenarios import Fault, ScenarioError
from sandbox.state import State
from sandbox.transport import NoAnswer, read_request
from wechat.checks import MEDIA_PATH, TEXT_PATH

#: the platform's own type: UTF-8 without a charset
_HEADERS = {"content-type": "text/plain"}
_HTML = {"content-type": "text/html"}

_PAGE = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"


async def text(request: Request) -> Response:
    return await _answered(request, TEXT_PATH, read_text)


async def media(request: Request) -> Response:
    return await _answered(request, MEDIA_PATH, read_media)


async def _answered(request: Request, path: str, read: Callable[[bytes], Check]) -> Response:
    state: State = request.app.state.sandbox
    state.stats.calls[path] += 1
    try:
        return await _judged(request, state, path, read)
    except Refused as refused:
        return _json(state, path, refusal(refused.errcode), state.options.camel_case)
    except asyncio.CancelledError:  # uvicorn cancels requests when it stops and has waited long enough
        return _json(state, path, refusal(-1), state.options.camel_case)
    except ScenarioError as error:
        state.stats.answers[path]["http 400"] += 1
        return Response(f"{error}\n", status_code=400, media_type="text/plain")


async def _judged(request: Request, state: State, path: str, read: Callable[[bytes], Check]) -> Response:
    if request.method != "POST":
        raise Refused(43002)
    appid = caller_of(state, request, path, open_interface=state.options.open_interface)
    raw = await read_request(request)
    options = state.options
    fault = _drawn_fault(options)
    late = random.uniform(*options.answer_seconds) + (_drawn(options.fault_slow) and options.slow_seconds)  # noqa: S311
    if fault is not None and not fault.taken:
        await _pause(late)
        return _failed(state, path, fault)

    check = read(raw)
    scenario = check.scenario
    turn = state.turn(appid, check.kind, check.key) if scenario.counted else 0
    fault = scenario.fault_at(turn) or fault
    late += scenario.slow_at(turn)
    camel = options.camel_case or scenario.camel
    if fault is not None and not (fault.taken and path == MEDIA_PATH):
        await _pause(late)
        return _failed(state, path, fault, camel)
    if path == TEXT_PATH:
        await _pause(late)
        return _json(state, path, text_answer(scenario, check.version, options.string_labels), camel)

    if state.pushes.full:
        raise Refused(-1)
    delivery = _delivery(appid, check, options.string_labels)
    state.pushes.keep(delivery)
    repeats = (scenario.repeat or 1 + _drawn(options.push_repeat)) - 1
    lost = scenario.lost or _drawn(options.push_lost)
    early = not lost and (scenario.early or _drawn(options.push_early))
    # the delay begins with the answer; without a delay, push and answer come in any order
    answered = asyncio.Event()
    for _ in range(0 if lost else repeats if early else repeats + 1):
        state.pushes.later(delivery, _delay(options) if scenario.delay is None else scenario.delay, answered)
    if early:
        await state.pushes.early(delivery)
    await _pause(late)
    answered.set()
    if fault is not None:
        return _failed(state, path, fault, camel)
    return _json(state, path, media_answer(scenario, delivery.trace_id), camel)


def _delivery(appid: str, check: Check, strings: bool) -> Delivery:
    trace_id = uuid.uuid4().hex if check.version == 1 else three_words()
    message = verdict(appid, trace_id, check.version, check.scenario, strings)
    return Delivery(trace_id, appid, check.kind, check.version, time.time(), message)


def _json(state: State, path: str, answer: dict[str, object], camel: bool) -> Response:
    state.stats.answers[path][str(answer["errcode"])] += 1
    return Response(encode(answer, camel), headers=_HEADERS)


def _failed(state: State, path: str, fault: Fault, camel: bool = False) -> Response:
    if fault.kind == "errcode":
        return _json(state, path, refusal(fault.value), camel or state.options.camel_case)
    name = f"http {fault.value}" if fault.kind == "http" else fault.kind
    state.stats.answers[path][name] += 1
    if fault.kind == "http":
        return Response(_PAGE.format(f"{fault.value} Bad Gateway"), status_code=fault.value, headers=_HTML)
    if fault.kind == "html":
        return Response(_PAGE.format("Under maintenance"), headers=_HTML)
    if fault.kind == "garbage":
        return Response(b'{"errcode":0,"errmsg":"o', headers=_HEADERS)
    return NoAnswer()


def _drawn_fault(options: Options) -> Fault | None:
    if _drawn(options.fault_reset):
        return Fault("reset", taken=options.fault_reset_taken)
    if _drawn(options.fault_http):
        return Fault("http", 502)
    if _drawn(options.fault_busy):
        return Fault("errcode", -1)
    return None


def _drawn(share: float) -> bool:
    return share > 0 and random.random() < share  # noqa: S311


def _delay(options: Options) -> float:
    return random.uniform(*options.push_delay)  # noqa: S311


async def _pause(seconds: float) -> None:
    if seconds:
        await asyncio.sleep(seconds)
