"""A platform that writes down what arrives, when and in which order, and refuses what a test tells it to refuse."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

from wechat.checks import MEDIA_PATH, TEXT_PATH
from wechat.quotas import QUOTA_PATH
from wechat.token_calls import STABLE_TOKEN_PATH


class Arrival(NamedTuple):
    """One check as it arrived."""

    #: monotonic seconds
    at: float
    appid: str
    path: str
    #: the text, or the URL of the media
    content: str


class Recorder:
    """Listens on a free port from its making on; it runs in threads of the test's own process."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        #: the errcode for a check, 0 to let it pass
        self.errcode: Callable[[Arrival], int] = lambda _: 0
        #: seconds before a check is answered
        self.seconds = 0.0
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                data = json.dumps(recorder.answer(self.path, body)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 128

            def handle_error(self, *_: Any) -> None:
                """Says nothing: a worker that is killed ends its connections in the middle."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        parts = urlsplit(path)
        if parts.path == STABLE_TOKEN_PATH:
            return {"access_token": f"of-{body['appid']}", "expires_in": 7200}
        if parts.path == QUOTA_PATH:
            return {"errcode": 0, "errmsg": "ok", "quota": {"daily_limit": 1_000_000, "used": 0, "remain": 1_000_000}}
        appid = parse_qs(parts.query)["access_token"][0].removeprefix("of-")
        arrival = Arrival(time.monotonic(), appid, parts.path, body.get("content") or body["media_url"])
        self.arrivals.append(arrival)
        errcode = self.errcode(arrival)
        time.sleep(self.seconds)
        if errcode:
            return {"errcode": errcode, "errmsg": "refused by the test"}
        return {"errcode": 0, "errmsg": "ok", **({"trace_id": uuid.uuid4().hex} if parts.path == MEDIA_PATH else {})}

    def contents(self, appid: str | None = None, path: str = TEXT_PATH) -> list[str]:
        """The contents that arrived at ``path``, in their order; of one appId, or of all."""
        return [seen.content for seen in list(self.arrivals) if seen.path == path and appid in (None, seen.appid)]
