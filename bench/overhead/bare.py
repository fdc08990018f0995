"""``celery -A bench.overhead.bare worker``: the peer, what wxcheck does in bare Celery tasks.

No quota, no token's renewal, no store, no signature: a text is posted over a kept-alive connection for each thread, and
its answer is the result. A picture is posted, its push comes to a bare endpoint (:mod:`bench.overhead.endpoint`), a
receiving task sends the finishing one, and what follows that is linked to it: with no store to keep the rest of a
chain, it is built from the push's number. Celery's options are wxcheck's own (``config/celery.py``), its transport and
its result backend Celery's.
"""

from __future__ import annotations

import json
import threading
from typing import Any

import requests
from celery import Celery
from requests.adapters import HTTPAdapter

from bench.overhead.names import (
    CHECK_MEDIA,
    CHECK_TEXT,
    FINISH,
    FINISH_AT_ONCE,
    FOLLOW_QUEUE,
    FOLLOW_UP,
    PUSH_QUEUE,
    RECEIVE,
)
from bench.servers import APPID
from config.celery import celery_configuration
from config.settings import load_settings

#: what belongs to wxcheck's own tasks
_NOT_BARE = ("imports", "task_queues", "task_routes", "task_annotations")


#: arguments are kept out of messages' headers, as wxcheck does
HIDDEN = {"argsrepr": "(…)", "kwargsrepr": "{…}"}

_settings = load_settings()
_local = threading.local()


def configuration() -> dict[str, Any]:
    """wxcheck's configuration without what only its own tasks and its own transport read."""
    return {name: value for name, value in celery_configuration(_settings).items() if name not in _NOT_BARE}


app = Celery("bench")
app.config_from_object(configuration())


@app.task(name=CHECK_TEXT)  # type: ignore[untyped-decorator]  # Celery ships no types
def check_text(content: str) -> dict[str, Any]:
    """Posts a text; the platform's answer."""
    return _post("/wxa/msg_sec_check", {"content": content})


@app.task(name=CHECK_MEDIA)  # type: ignore[untyped-decorator]  # Celery ships no types
def check_media(media_url: str, media_type: int) -> str:
    """Posts a picture; the platform's trace_id."""
    answer = _post("/wxa/media_check_async", {"media_url": media_url, "media_type": media_type})
    return str(answer["trace_id"])


@app.task(name=RECEIVE, ignore_result=True)  # type: ignore[untyped-decorator]  # Celery ships no types
def receive(push: dict[str, Any], received_at: float) -> None:  # noqa: ARG001 - as wxcheck's takes it
    """Takes a push in; one with ``alone`` belongs to no check, and nothing follows."""
    if push.get("alone"):
        return
    follow_up = app.signature(FOLLOW_UP, queue=FOLLOW_QUEUE, options=HIDDEN)
    finish.apply_async((push,), queue=PUSH_QUEUE, link=follow_up, **HIDDEN)


@app.task(name=FINISH)  # type: ignore[untyped-decorator]  # Celery ships no types
def finish(push: dict[str, Any]) -> dict[str, Any]:
    """The verdict in a push."""
    return _verdict(push["trace_id"], risky=bool(push["isrisky"]))


@app.task(name=FINISH_AT_ONCE)  # type: ignore[untyped-decorator]  # Celery ships no types
def finish_at_once(trace_id: str) -> dict[str, Any]:
    """The second task of a plain chain of three, which waits for no push."""
    return _verdict(trace_id, risky=False)


def _verdict(trace_id: str, *, risky: bool) -> dict[str, Any]:
    suggest, label = ("risky", 21000) if risky else ("pass", 100)
    verdict = {"kind": "image", "suggest": suggest, "label": label, "version": 1}
    return {**verdict, "appid": APPID, "trace_id": trace_id, "detail": []}


def _post(path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = _session().post(
        f"{_settings.api_base}{path}?access_token=token-of-the-bench",
        data=json.dumps(body, ensure_ascii=False).encode(),
        headers={"Content-Type": "application/json; charset=utf-8"},
        timeout=_settings.api_timeout,
        allow_redirects=False,
    )
    answer: dict[str, Any] = json.loads(response.content)
    return answer


def _session() -> requests.Session:
    session: requests.Session | None = getattr(_local, "session", None)
    if session is None:
        session = _local.session = requests.Session()
        session.mount("http://", HTTPAdapter(pool_connections=2, pool_maxsize=2, max_retries=0))
    return session
