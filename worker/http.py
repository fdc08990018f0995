"""Calls the platform over HTTP. The only module that does.

``requests``, one session a thread (a session is not safe to share), kept alive, one time-out for the whole of a call
(:mod:`worker.connection`). No exception from below ever leaves here: its text would hold the URL, and the token in it.
"""

from __future__ import annotations

import math
import os
import threading
import time
from typing import Any

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from worker.answers import Answer, Unanswered, read_answer
from worker.connection import Call, Connection, TlsConnection, under_way

#: bytes; the longest real answer is a few KB
MAX_ANSWER = 1 << 20
_CHUNK = 1 << 16


class Http:
    """Sends single requests to the platform.

    ``timeout`` (seconds) bounds each call as a whole, from its start to the last byte of the answer.
    """

    def __init__(self, base: str, timeout: float) -> None:
        self._base = base
        self._timeout = timeout
        self._local = threading.local()

    def post(self, path: str, params: dict[str, str], body: bytes, *, deadline: float = math.inf) -> Answer:
        """POSTs ``body`` (raw UTF-8 JSON). ``deadline`` (seconds, monotonic) can shorten the time-out for this call.

        Raises:
            Unanswered: no usable answer within the time-out; its ``taken`` is False if no byte of the call was sent.
        """
        return self._exchange("POST", path, params, body, deadline)

    def get(self, path: str, params: dict[str, str]) -> Answer:
        """GETs ``path``; what it raises is as in :meth:`post`."""
        return self._exchange("GET", path, params, None, math.inf)

    def _exchange(self, method: str, path: str, params: dict[str, str], body: bytes | None, deadline: float) -> Answer:
        with under_way(min(deadline, time.monotonic() + self._timeout)) as call:
            seconds = call.left
            if seconds <= 0:
                raise Unanswered("no connection within the time-out", taken=False)
            try:
                with self._session.request(
                    method,
                    self._base + path,
                    params=params,
                    data=body,
                    headers={"Content-Type": "application/json; charset=utf-8"} if body is not None else None,
                    timeout=seconds,
                    allow_redirects=False,
                    stream=True,
                ) as response:
                    content = _read(response)
                    call.complete()
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                # what connecting and sending raise is wrapped by requests, what reading the body raises is not
                raise _unanswered(error, call) from None
        return read_answer(response.status_code, content)

    @property
    def _session(self) -> requests.Session:
        made_by, session = getattr(self._local, "session", (0, None))
        if session is None or made_by != os.getpid():  # a forked child must not speak on its parent's connections
            session = requests.Session()
            adapter = _Adapter(pool_connections=2, pool_maxsize=2, max_retries=0)
            session.mount("http://", adapter)
            session.mount("https://", adapter)
            self._local.session = (os.getpid(), session)
        return session


def _read(response: requests.Response) -> bytes:
    """The whole body, within bounds."""
    body = bytearray()
    while chunk := response.raw.read1(_CHUNK, decode_content=True):
        body += chunk
        if len(body) > MAX_ANSWER:
            raise Unanswered(f"an answer of more than {MAX_ANSWER} bytes", taken=True)
    return bytes(body)


def _unanswered(error: Exception, call: Call) -> Unanswered:
    """What ``error`` means for the call. Of the error, only its kind is told: its text holds the URL with the token."""
    late = call.late or isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError))
    if late:
        reason = "no answer within the time-out" if call.sent else "no connection within the time-out"
    elif isinstance(error, requests.ConnectionError):
        reason = "connection lost" if call.sent else "no connection"
    else:
        reason = f"call failed with {type(error).__name__}"
    return Unanswered(reason, taken=call.sent)


class _Pool(HTTPConnectionPool):
    ConnectionCls = Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = TlsConnection


_POOLS = {"http": _Pool, "https": _TlsPool}


class _Adapter(HTTPAdapter):
    """Makes requests use our connections, also through a proxy of the environment."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        if proxy.lower().startswith("socks"):
            raise requests.exceptions.InvalidSchema("a SOCKS proxy would not keep to the time-out: use an HTTP proxy")
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager
