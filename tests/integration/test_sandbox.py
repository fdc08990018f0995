"""The sandbox runs as its own process, and a real server receives its pushes.

Tests: sandbox.pushes, sandbox.transport, sandbox.stats
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from defusedxml import ElementTree

from sandbox.credentials import DEMO_ENVIRONMENT
from tests.support.forked import run, start
from tests.support.processes import eventually
from wechat.push.envelope import decrypt, sign

ROOT = Path(__file__).parents[2]
APPID, SECRET = DEMO_ENVIRONMENT["WXCHECK_APPID"], DEMO_ENVIRONMENT["WXCHECK_SECRET"]
PUSH_TOKEN, KEY = DEMO_ENVIRONMENT["WXCHECK_PUSH_TOKEN"], DEMO_ENVIRONMENT["WXCHECK_PUSH_AES_KEY"]
TEXT, MEDIA = "/wxa/msg_sec_check", "/wxa/media_check_async"
V2: dict[str, Any] = {"version": 2, "scene": 2, "openid": "o4_t144jTUSEoxydysUA2E234_tc"}
#: seconds; less than what is waited for in vain
PATIENCE = 25


@dataclass
class Push:
    at: float
    path: str
    query: dict[str, str]
    body: bytes
    content_type: str

    @property
    def outer(self) -> dict[str, Any]:
        return opened(self.body)

    @property
    def message(self) -> dict[str, Any]:
        outer = self.outer
        return opened(decrypt(outer["Encrypt"], KEY)[0]) if "Encrypt" in outer else outer


def opened(body: bytes) -> dict[str, Any]:
    if body.startswith(b"<xml>"):
        return {child.tag: child.text for child in ElementTree.fromstring(body)}
    found: dict[str, Any] = json.loads(body)
    return found


@dataclass
class Receiver:
    """Takes pushes; ``statuses`` are what it answers next, then 200."""

    url: str = ""
    pushes: list[Push] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def of(self, trace_id: str) -> list[Push]:
        return [push for push in list(self.pushes) if push.message["trace_id"] == trace_id]

    def wait(self, trace_id: str, count: int = 1) -> list[Push]:
        wait_until(lambda: len(self.of(trace_id)) >= count)
        return self.of(trace_id)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            push = Push(time.monotonic(), parts.path, query, body, self.headers["Content-Type"])
            status = receiver.statuses.pop(0) if receiver.statuses else 200
            receiver.pushes.append(push)
            self.send_response(status)
            self.send_header("Content-Length", "7")
            self.end_headers()
            self.wfile.write(b"success")

        def log_message(self, *_: Any) -> None:
            """Nothing: the test's output is no place for it."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

    server = Server(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield receiver
    server.shutdown()
    thread.join()
    server.server_close()


class Sandbox:
    """``python -m sandbox`` on a free port."""

    def __init__(self, directory: Path, *arguments: str, **environment: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WXCHECK_")}
        self.log = directory / f"sandbox-{time.monotonic_ns()}.log"
        self._printed = directory / f"{self.log.stem}.out"
        with self.log.open("wb") as log, self._printed.open("wb") as printed:
            self.process = start(
                [sys.executable, "-m", "sandbox", "--port", "0", "--log-level", "debug", *arguments],
                directory,  # where there is no .env
                {**kept, "PYTHONPATH": str(ROOT), "WXCHECK_LOG_FORMAT": "text", **environment},
                printed.fileno(),
                log.fileno(),
            )
        eventually(lambda: "\n" in self._printed.read_text() or self.process.poll() is not None, "the sandbox starts")
        self.first_line = self._printed.read_text().splitlines()[0]
        self.url = self.first_line.split()[-1]
        self.http = requests.Session()
        self.http.trust_env = False

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code and all that it wrote."""
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
        return code, self._printed.read_text() + self.log.read_text()

    def token(self, appid: str = APPID, secret: str = SECRET) -> str:
        body = {"grant_type": "client_credential", "appid": appid, "secret": secret}
        return str(
            self.http.post(f"{self.url}/cgi-bin/stable_token", json=body, timeout=PATIENCE).json()["access_token"]
        )

    def call(self, path: str, body: dict[str, Any], token: str | None = None) -> dict[str, Any]:
        raw = json.dumps(body, ensure_ascii=False).encode()
        query = {"access_token": token or self.token()}
        answer = self.http.post(self.url + path, data=raw, params=query, timeout=PATIENCE)
        assert answer.status_code == 200
        found: dict[str, Any] = json.loads(answer.content)
        return found

    def media(self, directives: str = "pass", **more: Any) -> str:
        url = f"https://img.example/{time.monotonic_ns()}.jpg?sandbox={directives}"
        return str(self.call(MEDIA, {"media_url": url, "media_type": 2, **more})["trace_id"])

    def option(self, **changes: Any) -> None:
        answer = self.http.patch(f"{self.url}/sandbox/options", json=changes, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text

    def control(self, method: str, path: str, **more: Any) -> Any:
        answer = self.http.request(method, f"{self.url}/sandbox/{path}", timeout=PATIENCE, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def running(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    sandbox = Sandbox(
        tmp_path_factory.mktemp("sandbox"),
        "--push-url",
        f"{receiver.url}/push",
        "--option",
        "push_retry_seconds=0.05",
    )
    yield sandbox
    sandbox.stop()


@pytest.fixture
def sandbox(running: Sandbox, receiver: Receiver) -> Sandbox:
    running.control("POST", "reset")
    receiver.statuses.clear()
    return running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_stops_cleanly(tmp_path: Path, number: int) -> None:
    with Sandbox(tmp_path, "--option", "push_delay=[30,30]") as sandbox:
        assert sandbox.first_line.startswith("sandbox listening on http://127.0.0.1:")
        sandbox.media()
        started = time.monotonic()
        code, output = sandbox.stop(number)
        assert (code, time.monotonic() - started < 20) == (0, True)
        assert f"taking the demonstration's, {APPID}" in output
        assert f"pushes for {APPID} go to http://127.0.0.1:8080/wechat/push\n" in output
        assert "Traceback" not in output


def test_it_does_not_wait_for_slow_checks_when_it_stops(tmp_path: Path) -> None:
    with Sandbox(tmp_path) as sandbox:
        url, body = f"{sandbox.url}{TEXT}?access_token={sandbox.token()}", b'{"content":"sandbox:slow=60"}'
        caller = threading.Thread(target=_ignoring, args=(url, body))
        caller.start()
        wait_until(lambda: sandbox.control("GET", "stats")["calls"].get(TEXT) == 1)
        started = time.monotonic()
        code, output = sandbox.stop()
        assert (code, time.monotonic() - started < 20) == (0, True)
        assert "Traceback" not in output
        caller.join()


def _ignoring(url: str, body: bytes) -> None:
    with contextlib.suppress(requests.RequestException), requests.Session() as session:
        session.post(url, data=body, timeout=PATIENCE)


def test_a_port_that_is_taken_is_named(sandbox: Sandbox, tmp_path: Path) -> None:
    port = str(urlsplit(sandbox.url).port)
    command = [sys.executable, "-m", "sandbox", "--port", port]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    outcome = run(command, tmp_path, environment, timeout=30)
    assert outcome.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in outcome.stderr


def test_a_verdict_is_pushed_once_signed_and_soon(sandbox: Sandbox, receiver: Receiver) -> None:
    trace_id = sandbox.media("risky", **V2)
    answered = time.monotonic()
    (push,) = receiver.wait(trace_id)
    # half a second, and what a busy machine takes
    assert push.at - answered < 0.5 + 9.5
    assert push.path == "/push"
    query, outer = push.query, push.outer
    assert query["signature"] == sign(PUSH_TOKEN, query["timestamp"], query["nonce"])
    assert query["msg_signature"] == sign(PUSH_TOKEN, query["timestamp"], query["nonce"], outer["Encrypt"])
    assert abs(int(query["timestamp"]) - time.time()) < 10
    assert decrypt(outer["Encrypt"], KEY)[1] == APPID
    assert push.message["result"] == {"suggest": "risky", "label": 20002}
    time.sleep(0.6)
    assert len(receiver.of(trace_id)) == 1
    assert sandbox.control("GET", "checks")[0]["pushes"] == 1


@pytest.mark.parametrize("form", ["json", "xml"])
@pytest.mark.parametrize("mode", ["plain", "compatible", "secure"])
def test_pushes_come_in_every_mode_and_format(sandbox: Sandbox, receiver: Receiver, mode: str, form: str) -> None:
    sandbox.option(push_mode=mode, push_format=form, push_delay=[0, 0])
    (push,) = receiver.wait(sandbox.media(**V2))
    assert push.body.startswith(b"<xml>") == (form == "xml")
    assert push.content_type == {"json": "application/json", "xml": "text/xml"}[form]
    assert ("Encrypt" in push.outer, "trace_id" in push.outer) == (mode != "plain", mode != "secure")
    assert push.message["Event"] == "wxa_media_check"


def test_an_early_push_is_delivered_before_the_check_is_answered(sandbox: Sandbox, receiver: Receiver) -> None:
    trace_id = sandbox.media("early")
    assert len(receiver.of(trace_id)) == 1
    sandbox.option(push_early=1)
    trace_id = sandbox.media()
    assert len(receiver.of(trace_id)) == 1


def test_a_push_can_be_repeated(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.option(push_delay=[0, 0.05])
    thrice = sandbox.media("early,repeat=3")
    assert len(receiver.wait(thrice, 3)) == 3
    sandbox.option(push_repeat=1)
    twice = sandbox.media()
    assert len(receiver.wait(twice, 2)) == 2
    wait_until(lambda: sandbox.control("GET", "stats")["waiting"] == 0)
    assert [len(receiver.of(thrice)), len(receiver.of(twice))] == [3, 2]


def given_up(sandbox: Sandbox, directives: str) -> str:
    """A media check whose client does not wait for the answer; its trace_id."""
    body = {"media_url": f"https://img.example/a.jpg?sandbox={directives}", "media_type": 2}
    with pytest.raises(requests.ReadTimeout), requests.Session() as session:
        session.post(f"{sandbox.url}{MEDIA}", json=body, params={"access_token": sandbox.token()}, timeout=0.2)
    wait_until(lambda: bool(sandbox.control("GET", "checks")))
    return str(sandbox.control("GET", "checks")[0]["trace_id"])


def test_a_verdict_waits_from_its_call_on_even_if_nobody_waits_for_the_answer(
    sandbox: Sandbox, receiver: Receiver
) -> None:
    trace_id = given_up(sandbox, "slow=4,delay=0,repeat=2")
    stats = sandbox.control("GET", "stats")
    assert (stats["waiting"], MEDIA in stats["answers"]) == (2, False)
    wait_until(lambda: sandbox.control("GET", "stats")["waiting"] == 0)
    assert len(receiver.of(trace_id)) == 2


def test_after_a_reset_no_push_comes_of_a_call_that_was_under_way(sandbox: Sandbox, receiver: Receiver) -> None:
    trace_id = given_up(sandbox, "slow=2,delay=0")
    sandbox.control("POST", "reset")
    assert sandbox.control("GET", "stats")["waiting"] == 0
    receiver.wait(sandbox.media("slow=3,delay=0"))
    assert receiver.of(trace_id) == []


def test_a_lost_push_never_comes_but_on_demand(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.option(push_delay=[0, 0])
    trace_id = sandbox.media("lost,early,repeat=3")
    receiver.wait(sandbox.media())
    assert receiver.of(trace_id) == []
    again = sandbox.control("POST", "pushes", json={"trace_id": trace_id})
    assert again == {"trace_id": trace_id, "status": 200}
    assert len(receiver.of(trace_id)) == 1


def test_a_push_that_is_not_answered_200_is_tried_again(sandbox: Sandbox, receiver: Receiver) -> None:
    receiver.statuses = [503]
    first, second = receiver.wait(sandbox.media("delay=0"), 2)
    assert first.message == second.message
    assert first.query["nonce"] != second.query["nonce"]
    wait_until(lambda: sandbox.control("GET", "stats")["waiting"] == 0)
    assert sandbox.control("GET", "stats")["pushes"] == {"sent": 2, "answers": {"503": 1, "200": 1}}


def test_a_push_is_given_up_after_three_attempts(sandbox: Sandbox, receiver: Receiver) -> None:
    receiver.statuses = [500] * 9
    trace_id = sandbox.media("early")
    receiver.wait(trace_id, 3)
    wait_until(lambda: sandbox.control("GET", "stats")["waiting"] == 0)
    assert len(receiver.of(trace_id)) == 3
    assert sandbox.control("GET", "checks")[0]["status"] == 500


@pytest.mark.parametrize(("version", "name", "value"), [({}, "status_code", 4294966288), (V2, "errcode", -1008)])
def test_a_file_that_cannot_be_fetched_is_told_by_the_push(
    sandbox: Sandbox, receiver: Receiver, version: dict[str, Any], name: str, value: int
) -> None:
    (push,) = receiver.wait(sandbox.media("unfetchable", **version))
    assert push.message[name] == value
    assert "result" not in push.message


@pytest.mark.parametrize("taken", [False, True])
def test_a_connection_is_closed_without_an_answer(sandbox: Sandbox, receiver: Receiver, taken: bool) -> None:
    token = sandbox.token()
    directives = "reset=taken,delay=0" if taken else "reset"
    body = {"media_url": f"https://x/?sandbox={directives}", "media_type": 2}
    with pytest.raises(requests.ConnectionError):
        sandbox.call(MEDIA, body, token)
    sandbox.option(fault_reset=1, fault_reset_taken=taken, push_delay=[0, 0])
    with pytest.raises(requests.ConnectionError):
        sandbox.call(MEDIA, {"media_url": "https://x/", "media_type": 2}, token)
    checks = sandbox.control("GET", "checks")
    assert len(checks) == (2 if taken else 0)
    for check in checks:
        assert len(receiver.wait(check["trace_id"])) == 1
    assert sandbox.control("GET", "stats")["answers"][MEDIA] == {"reset": 2}


def test_a_slow_check_is_answered_late_and_holds_nobody_else_up(sandbox: Sandbox) -> None:
    token = sandbox.token()
    slow = threading.Thread(target=sandbox.call, args=(TEXT, {"content": "sandbox:slow=3"}, token))
    started = time.monotonic()
    slow.start()
    with requests.Session() as other:
        stats: dict[str, Any] = {}

        def asked() -> bool:
            stats.update(other.get(f"{sandbox.url}/sandbox/stats", timeout=PATIENCE).json())
            return TEXT in stats["calls"]

        wait_until(asked)
        assert TEXT not in stats["answers"]
    slow.join()
    assert time.monotonic() - started >= 3
    sandbox.option(answer_seconds=[0.3, 0.3], fault_slow=1, slow_seconds=0.3)
    started = time.monotonic()
    sandbox.call(TEXT, {"content": "x"}, token)
    assert time.monotonic() - started >= 0.6


def test_a_push_that_nobody_takes_is_counted(tmp_path: Path) -> None:
    with Sandbox(tmp_path, "--push-url", "http://127.0.0.1:9/", "--option", "push_attempts=1") as sandbox:
        sandbox.media("early")
        assert sandbox.control("GET", "stats")["pushes"] == {"sent": 1, "answers": {"none": 1}}
        assert sandbox.stop()[0] == 0


def test_each_mini_program_has_its_own_token_and_push_url(receiver: Receiver, tmp_path: Path) -> None:
    apps = {
        "wxother": {"secret": "s2", "push_token": "t2", "push_aes_key": KEY},
        "wxsilent": {"secret": "s3"},
    }
    with Sandbox(
        tmp_path,
        "--push-url",
        f"{receiver.url}/push",
        **{**DEMO_ENVIRONMENT, "WXCHECK_APPS": json.dumps(apps)},
    ) as sandbox:
        body = {"media_url": "https://x/?sandbox=early", "media_type": 2}
        found = {}
        for appid, secret in [(APPID, SECRET), ("wxother", "s2"), ("wxsilent", "s3")]:
            trace_id = sandbox.call(MEDIA, body, sandbox.token(appid, secret))["trace_id"]
            found[appid] = [push.path for push in receiver.of(trace_id)]
        assert found == {APPID: ["/push"], "wxother": ["/push/wxother"], "wxsilent": []}
        assert {check["appid"] for check in sandbox.control("GET", "checks")} == set(found)


def test_nothing_that_is_secret_or_a_user_s_is_written_anywhere(receiver: Receiver, tmp_path: Path) -> None:
    with Sandbox(tmp_path, "--push-url", f"{receiver.url}/push", "--option", "cloudbase_token=hushCloud") as sandbox:
        token = sandbox.token()
        receiver.statuses = [500]
        sandbox.call(TEXT, {"content": "hushText sandbox:87014"}, token)
        url = "https://img.example/hushPath.jpg?hushQuery=1&sandbox=early"
        trace_id = sandbox.call(MEDIA, {"media_url": url, "media_type": 2, **V2}, token)["trace_id"]
        bad = sandbox.http.post(
            sandbox.url + TEXT, data=b'{"hushBroken', params={"access_token": token}, timeout=PATIENCE
        )
        assert bad.status_code == 200
        with pytest.raises(requests.ConnectionError):
            sandbox.call(TEXT, {"content": "hushReset sandbox:reset"}, token)
        receiver.wait(trace_id)
        _, output = sandbox.stop()
        found = [word for word in (token, SECRET, PUSH_TOKEN, KEY, "hush", "signature=") if word in output]
        assert found == []


def test_many_checks_with_early_and_repeated_pushes_lose_none(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.option(push_early=0.3, push_repeat=0.3, push_format="xml")
    token = sandbox.token()
    answered: list[str] = []

    def send() -> None:
        with requests.Session() as session:
            for _ in range(50):
                body = json.dumps({"media_url": "https://x/a.jpg", "media_type": 1}).encode()
                url = f"{sandbox.url}{MEDIA}?access_token={token}"
                answered.append(session.post(url, data=body, timeout=PATIENCE).json()["trace_id"])

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: sandbox.control("GET", "stats")["waiting"] == 0)
    counts = dict.fromkeys(answered, 0)
    for push in receiver.pushes:
        trace_id = push.message["trace_id"]
        if trace_id in counts:
            counts[trace_id] += 1
    assert len(counts) == 200
    assert set(counts.values()) == {1, 2}
    assert sandbox.control("GET", "stats")["pushes"]["answers"] == {"200": sum(counts.values())}
