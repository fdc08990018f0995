"""Checks as an application sends them, with what the sandbox is to do in their content, and what became of them."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import requests
from celery import Celery
from celery.result import AsyncResult

import wxcheck
from config.settings import MiniProgram
from sandbox.messages import Format, Mode, sealed
from store.places.places import Places
from store.places.shard import SHARD
from store.quota.clock import Watch
from tests.support.processes import PATIENCE, eventually
from tests.support.system import AES_KEY, APPID, PUSH_TOKEN, SECRET, System

CLASSIC_TOKEN_PATH = "/cgi-bin/token"

#: selects version 2 of the platform's API
V2: dict[str, Any] = {"openid": "o" * 28, "scene": 2}


def words(*directives: str) -> str:
    """A text of its own that tells the sandbox what to make of it."""
    return f"{uuid.uuid4().hex} sandbox:{','.join(directives or ('pass',))}"


def picture(*directives: str) -> str:
    """A URL of its own that does."""
    return f"https://img.example.com/{uuid.uuid4().hex}.jpg?sandbox={','.join(directives or ('pass',))}"


def send_text(app: Celery, content: Any = None, **kwargs: Any) -> AsyncResult:
    """Enqueues a text by name, as a program does that imports nothing of the project."""
    return app.send_task(wxcheck.CHECK_TEXT, kwargs={"content": content, **kwargs}, queue=wxcheck.TEXT_QUEUE)


def send_media(app: Celery, media_url: Any = None, media_type: Any = "image", **kwargs: Any) -> AsyncResult:
    arguments = {"media_url": media_url, "media_type": media_type, **kwargs}
    return app.send_task(wxcheck.CHECK_MEDIA, kwargs=arguments, queue=wxcheck.MEDIA_QUEUE)


def ended(result: AsyncResult) -> AsyncResult:
    """Waits for the end of a check. It asks again and again: a published result can be missed, a stored one can't."""
    eventually(result.ready, f"{result.id} ends")
    return result


def verdict_of(result: AsyncResult) -> Any:
    return ended(result).get(timeout=PATIENCE)


def failure_of(result: AsyncResult) -> wxcheck.CheckError:
    """The failure as an application catches it that has the client installed."""
    try:
        verdict = ended(result).get(timeout=PATIENCE)
    except wxcheck.CheckError as failure:
        return failure
    raise AssertionError(f"the check did not fail, its result is {verdict}")


def waiting(result: AsyncResult) -> str:
    """Waits until a media check is parked; its trace_id."""
    eventually(lambda: result.state == wxcheck.WAITING, f"{result.id} waits for its push")
    trace_id: str = result.info["trace_id"]
    return trace_id


def parked(system: System, trace_id: str, appid: str = APPID) -> None:
    """Waits until the store has the check. Its state is shown before."""
    task_id = ""

    def is_parked() -> bool:
        nonlocal task_id
        task_id = str(system.redis.hget(SHARD.key("traces"), f"{appid}:{trace_id}") or "")
        return place_of(system, task_id) == "parked"

    eventually(is_parked, f"{trace_id} is parked")


def kept(system: System, task_id: str) -> dict[str, Any]:
    """A check as the store keeps it; nothing where it does not."""
    found = system.redis.hget(SHARD.key("checks"), task_id)
    return dict(json.loads(found)) if found else {}


def place_of(system: System, task_id: str) -> str:
    """The place of a check in the store; '' where it has none."""
    return str(kept(system, task_id).get("place", ""))


def age(system: System, task_id: str, seconds: float) -> None:
    """Makes a check one that was parked so long ago."""
    check = kept(system, task_id)
    aged = {**check, "since": check["since"] - 1000 * seconds}
    system.redis.hset(SHARD.key("checks"), task_id, json.dumps(aged))


def cancel(system: System, task_id: str) -> str:
    """Cancels a check; its place until then."""
    (place,) = Places(system.redis, SHARD, Watch(), call_timeout=6).cancel([task_id])
    return place


def time_comes(system: System, key: str, *members: str) -> None:
    """Lets the time come for entries of one of the store's sorted sets."""
    system.redis.zadd(key, dict.fromkeys(members, time.time() * 1000))


def runs(system: System, name: str | None = None) -> list[dict[str, Any]]:
    """The runs that the application's tasks wrote down."""
    every = [json.loads(run) for run in system.redis.lrange("application:runs", 0, -1)]
    return [run for run in every if name is None or run["name"] == name]


def media_push(trace_id: str, appid: str = APPID, **changes: Any) -> dict[str, Any]:
    """The content of a version 2 push that lets a picture pass; ``changes`` of None leave a field out."""
    message = {
        "ToUserName": "gh_0123456789ab",
        "FromUserName": "o4_platform",
        "CreateTime": int(time.time()),
        "MsgType": "event",
        "Event": "wxa_media_check",
        "appid": appid,
        "trace_id": trace_id,
        "version": 2,
        "detail": [],
        "errcode": 0,
        "errmsg": "ok",
        "result": {"suggest": "pass", "label": 100},
        **changes,
    }
    return {name: value for name, value in message.items() if value is not None}


def push(system: System, message: dict[str, Any], mode: Mode = "secure", form: Format = "json") -> None:
    """Pushes a message to the endpoint as the platform would, which has to take it."""
    program = MiniProgram.model_validate(
        {
            "appid": message["appid"],
            "secret": SECRET,
            "push_token": PUSH_TOKEN,
            "push_aes_key": AES_KEY,
            "push_plain_allowed": False,
            "text_per_minute": 1,
            "text_per_day": 1,
            "media_per_minute": 1,
            "media_per_day": 1,
        }
    )
    query, body, content_type = sealed(message, program, mode, form)
    path = "/wechat/push" if message["appid"] == APPID else f"/wechat/push/{message['appid']}"
    answer = requests.post(
        f"{system.endpoint_url}{path}?{query}", data=body, headers={"Content-Type": content_type}, timeout=PATIENCE
    )
    assert (answer.status_code, answer.text) == (200, "success")
