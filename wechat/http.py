"""HTTP calls to the platform. No other module makes any.

``requests``, a session for each call under way (threads must not share a session), kept alive for the next call, one
time-out for the whole of a call (:mod:`wechat.deadline`). No exception of a library leaves this module: its text would
hold the URL with the token.
"""

from __future__ import annotations

import math
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from wechat.answers import Answer, Unanswered, read_answer
from wechat.deadline import Call, Connection, TlsConnection, under_way

if TYPE_CHECKING:
    from collections.abc import Iterator

#: bytes; the longest real answer is a few KB
MAX_ANSWER = 1 << 20
_CHUNK = 1 << 16
#: seconds after which a connection without a call is closed: a burst leaves no descriptors behind
IDLE = 10.0


class Http:
    """Sends single requests to the platform.

    ``timeout`` (seconds) bounds each call as a whole, from its start to the last byte of the answer.
    """

    def __init__(self, base: str, timeout: float) -> None:
        self._base = base
        self._timeout = timeout
        #: lines without a call, and since when (monotonic); the latest is used first
        self._idle: deque[tuple[_Line, float]] = deque()

    def post(self, path: str, params: dict[str, str], body: bytes, *, deadline: float = math.inf) -> Answer:
        """POST ``body`` (raw UTF-8 JSON). ``deadline`` (seconds, monotonic) can shorten the time-out for this call.

        Raises:
            Unanswered: no usable answer within the time-out; its ``taken`` is False if no byte of the call was sent.
        """
        return self._exchange("POST", path, params, body, deadline)

    def get(self, path: str, params: dict[str, str]) -> Answer:
        """GET ``path``. Raises as :meth:`post` does."""
        return self._exchange("GET", path, params, None, math.inf)

    def close_idle(self) -> None:
        """Close the connections that had no call for :data:`IDLE` seconds."""
        while True:
            try:
                line, since = self._idle.popleft()
            except IndexError:
                return
            if time.monotonic() - since < IDLE:
                self._idle.appendleft((line, since))
                return
            line.close()

    def _exchange(self, method: str, path: str, params: dict[str, str], body: bytes | None, deadline: float) -> Answer:
        with under_way(min(deadline, time.monotonic() + self._timeout)) as call:
            seconds = call.left
            if seconds <= 0:
                raise Unanswered("no connection within the time-out", taken=False)
            try:
                with self._line() as line, line.send(method, path, params, body, seconds) as response:
                    content = _read(response)
                    call.complete()
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                # requests wraps errors of connecting and sending, but not errors of reading the body
                raise _unanswered(error, call) from None
        return read_answer(response.status_code, content)

    @contextmanager
    def _line(self) -> Iterator[_Line]:
        try:
            line, _ = self._idle.pop()
        except IndexError:
            line = _Line(self._base)
        try:
            yield line
        finally:
            self._idle.append((line, time.monotonic()))


class _Line:
    """A way to the platform, for one call at a time: a session, and facts that requests would find out anew each time.

    ``Session.request`` reads the proxies and certificates of the environment and a netrc file, and takes the URL apart:
    more than half of a call's cost. ``_Line`` does so for the first call of a kind, and keeps the result.
    """

    def __init__(self, base: str) -> None:
        self._base = base
        self._session = requests.Session()
        adapter = _Adapter(pool_connections=1, pool_maxsize=1, max_retries=0)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        self._environment: dict[str, Any] | None = None
        #: the last request without its body, and its parameters, by method and path; a new token changes the parameters
        self._requests: dict[tuple[str, str], tuple[dict[str, str], requests.PreparedRequest]] = {}

    def close(self) -> None:
        self._session.close()

    def send(
        self, method: str, path: str, params: dict[str, str], body: bytes | None, seconds: float
    ) -> requests.Response:
        """Send a request and return its answer, the body still unread. Raises the errors of requests."""
        request = self._prepared(method, path, params).copy()
        if body is not None:
            request.headers["Content-Type"] = "application/json; charset=utf-8"
            request.prepare_body(body, None)
        url = str(request.url)
        if self._environment is None:
            self._environment = dict(self._session.merge_environment_settings(url, {}, True, None, None))
        return self._session.get_adapter(url).send(request, timeout=seconds, **self._environment)

    def _prepared(self, method: str, path: str, params: dict[str, str]) -> requests.PreparedRequest:
        known, request = self._requests.get((method, path), (None, None))
        if request is None or known != params:
            request = requests.PreparedRequest()
            headers = dict(self._session.headers)
            request.prepare(method=method, url=self._base + path, headers=headers, params=params)
            self._requests[method, path] = (params, request)
        return request


def _read(response: requests.Response) -> bytes:
    """Read the whole body, of ``MAX_ANSWER`` bytes at most."""
    body = bytearray()
    while chunk := response.raw.read1(_CHUNK, decode_content=True):
        body += chunk
        if len(body) > MAX_ANSWER:
            raise Unanswered(f"an answer of more than {MAX_ANSWER} bytes", taken=True)
    return bytes(body)


def _unanswered(error: Exception, call: Call) -> Unanswered:
    """Turn ``error`` into Unanswered. The reason names only the error's kind: its text holds the URL with the token."""
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
