"""``celery -A bench.quota.peer_app worker``: the same call as wxcheck's text check, behind a peer's limiter.

Its options are wxcheck's own (``config/celery.py``), so that nothing but the limiter differs. Configured with wxcheck's
settings and ``BENCH_LIMITER``, ``BENCH_STORE``, ``BENCH_QUOTA`` (calls), ``BENCH_WINDOW`` (seconds).
"""

from __future__ import annotations

import json
import os
import threading
from functools import cache
from typing import Any

import requests
from celery import Celery
from requests.adapters import HTTPAdapter

from bench.quota.limiters import LIMITERS, Acquire, Quota
from config.celery import celery_configuration
from config.settings import load_settings
from worker.celery_parts.transport import use_transport

TASK = "bench.check_text"
QUEUE = "bench.text"

#: a peer whose name begins so is limited by Celery itself, by the annotation
_BY_CELERY = "celery-"

_settings = load_settings()
_limiter = os.environ.get("BENCH_LIMITER", "")
_local = threading.local()


def _configuration() -> dict[str, Any]:
    own = celery_configuration(_settings)
    for name in ("imports", "task_queues", "task_routes", "task_annotations"):
        own.pop(name, None)
    by_celery = _limiter.startswith(_BY_CELERY)
    a_minute = round(int(os.environ.get("BENCH_QUOTA", "0")) * 60 / float(os.environ.get("BENCH_WINDOW", "60")))
    return {
        **own,
        "worker_disable_rate_limits": not by_celery,
        "task_annotations": {TASK: {"rate_limit": f"{a_minute}/m"}} if by_celery else None,
    }


app = Celery("bench")
app.config_from_object(_configuration())
use_transport()


@app.task(name=TASK)  # type: ignore[untyped-decorator]  # Celery ships no types
def check_text(content: str) -> dict[str, Any]:
    """Waits for the limiter, then calls the platform as wxcheck does; its answer."""
    _acquire()()
    response = _session().post(
        _settings.api_base + "/wxa/msg_sec_check",
        data=json.dumps({"content": content}, ensure_ascii=False).encode(),
        headers={"Content-Type": "application/json; charset=utf-8"},
        timeout=_settings.api_timeout,
        allow_redirects=False,
    )
    answer: dict[str, Any] = json.loads(response.content)
    return answer


@cache
def _made() -> Acquire:
    quota = Quota(
        calls=int(os.environ["BENCH_QUOTA"]), seconds=int(os.environ["BENCH_WINDOW"]), store=os.environ["BENCH_STORE"]
    )
    return LIMITERS[_limiter](quota)


_making = threading.Lock()


def _acquire() -> Acquire:
    with _making:  # one limiter for a process, not one for each thread that comes first
        return _made()


def _session() -> requests.Session:
    session: requests.Session | None = getattr(_local, "session", None)
    if session is None:
        session = _local.session = requests.Session()
        session.mount("http://", HTTPAdapter(pool_connections=2, pool_maxsize=2, max_retries=0))
    return session
