"""The endpoint answers every request over HTTP: a real uvicorn, a real Valkey as broker and store, real sockets.

Tests: callbacks.app, callbacks.body, callbacks.broker, callbacks.probe
"""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import pytest
import redis
import time_machine
import uvicorn
from celery import Celery
from kombu import Connection
from redis.backoff import NoBackoff
from redis.retry import Retry

from callbacks import body as body_module
from callbacks.app import create_app
from callbacks.bounded_log import INTERVAL
from callbacks.protocol import Protocol
from callbacks.publisher import PUBLISH_SECONDS
from config.names import PUSH_QUEUE, RECEIVE_PUSH
from config.settings import Settings
from ops.local.redis_server import find_server
from status.cluster_metrics import cluster_metrics
from tests.support.ports import free_port
from tests.support.relay import Relay
from wechat.push.envelope import encrypt, sign
from wechat.push.outcomes import Outcome
from worker.celery_parts.transport import use_transport

# every process of the project has it: it is how messages lie in Redis
use_transport()

ROOT = Path(__file__).parent.parent.parent
VECTORS = json.loads((ROOT / "tests" / "vectors" / "push.json").read_text(encoding="utf-8"))
TOKEN, KEY, APPID = VECTORS["token"], VECTORS["encoding_aes_key"], VECTORS["appid"]
ALL = {**VECTORS["official"], **VECTORS["synthetic"]}
THIRD = VECTORS["official"]["third_party_platform_xml"]
PLAIN_APPID, OTHER_APPID = "wxplain", "wxother"
OTHER_TOKEN, OTHER_KEY = "BBBBB", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"

#: seconds that a busy machine may take for what takes none
SLACK = 5.0
#: seconds; generous, for a deadline that passes only when something is wrong
PATIENCE = 30.0

EVENT = {"MsgType": "event", "Event": "wxa_media_check", "trace_id": "t-1", "isrisky": 0, "status_code": 0}


class Valkey:
    """A server of our own, which a test may stop, hang and start again on its port."""

    def __init__(self, directory: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._directory = directory
        self.start()

    def start(self) -> None:
        command = [find_server(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._process = subprocess.Popen(
            [*command, "--dir", self._directory], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        eventually(self._answers)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGCONT)
        self._process.kill()
        self._process.wait()

    def hang(self) -> None:
        """From now on the kernel takes connections and bytes, and nobody answers."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def run(self, *command: str) -> Any:
        with redis.Redis(port=self.port, retry=Retry(NoBackoff(), 0)) as client:
            return client.execute_command(*command)

    def _answers(self) -> bool:
        try:
            return bool(self.run("PING"))
        except redis.ConnectionError:
            return False


def eventually(holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def pushed(server: Valkey) -> list[dict[str, Any]]:
    """The arguments of every task on the queue, taken from it as a worker would."""
    found = []
    with Connection(server.url) as connection, closing(connection.SimpleQueue(PUSH_QUEUE)) as queue:
        for _ in range(server.run("LLEN", PUSH_QUEUE)):
            message = queue.get(timeout=PATIENCE)
            message.ack()
            args, kwargs, _canvas = message.payload
            assert args == []
            assert message.headers["task"] == RECEIVE_PUSH
            assert message.headers["ignore_result"] is True
            assert message.headers["argsrepr"] == "(…)"
            assert message.headers["kwargsrepr"] == "{…}"
            found.append(kwargs)
    return found


def make_settings(store: str, **changed: Any) -> Settings:
    given: dict[str, Any] = {
        "redis_url": store,
        "appid": APPID,
        "push_token": TOKEN,
        "push_aes_key": KEY,
        "component_appid": THIRD["component_appid"],
        "apps": {
            PLAIN_APPID: {"push_token": TOKEN},
            OTHER_APPID: {"push_token": OTHER_TOKEN, "push_aes_key": OTHER_KEY, "push_aes_key_previous": KEY},
        },
    }
    return Settings(_env_file=None, **{**given, **changed})


@contextmanager
def endpoint(
    broker: str,
    settings: Settings | None = None,
    cluster_counters: Callable[[], Mapping[str, int]] | None = None,
) -> Iterator[httpx.Client]:
    """A client of an endpoint that runs in a thread."""
    read = partial(cluster_metrics, cluster_counters, None)
    app = create_app(settings or make_settings(broker), Celery(broker=broker, set_as_current=False), read)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False, ws="none", http=Protocol))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        eventually(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    with tempfile.TemporaryDirectory() as directory:
        server = Valkey(directory)
        yield server
        server.stop()


@pytest.fixture
def broker(valkey: Valkey) -> Valkey:
    valkey.run("FLUSHALL")
    return valkey


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(str(tmp_path))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def served(valkey: Valkey) -> Iterator[httpx.Client]:
    with endpoint(valkey.url, cluster_counters=lambda: {"verdict": 7}) as client:
        yield client


def signed(token: str = TOKEN, **more: str) -> dict[str, str]:
    now = str(int(time.time()))
    return {"timestamp": now, "nonce": "n", "signature": sign(token, now, "n"), **more}


def secured(
    message: bytes, token: str = TOKEN, key: str = KEY, appid: str = APPID
) -> tuple[dict[str, str], dict[str, str]]:
    encrypted = encrypt(message, appid, key)
    params = signed(token)
    return {**params, "msg_signature": sign(token, params["timestamp"], "n", encrypted)}, {"Encrypt": encrypted}


def push(client: httpx.Client, message: Any = EVENT, appid: str = PLAIN_APPID, **changed: Any) -> httpx.Response:
    """A plain push; ``message`` as it is where it is bytes."""
    content = message if isinstance(message, bytes) else json.dumps(message).encode()
    return client.post(f"/wechat/push/{appid}", **{"params": signed(), "content": content, **changed})


def counted(client: httpx.Client, outcome: str) -> int:
    line = f'wxcheck_pushes_total{{outcome="{outcome}"}} '
    found = [text for text in client.get("/metrics").text.splitlines() if text.startswith(line)]
    assert len(found) == 1
    return int(float(found[0].removeprefix(line)))


@contextmanager
def counting(client: httpx.Client, outcome: str, times: int = 1) -> Iterator[None]:
    before = counted(client, outcome)
    yield
    assert counted(client, outcome) == before + times


# --- the rows of the table


def test_a_good_push_is_on_the_queue_and_answered_success(served: httpx.Client, broker: Valkey) -> None:
    with counting(served, "queued"):
        answer = push(served)
    assert (answer.status_code, answer.text) == (200, "success")
    [kwargs] = pushed(broker)
    assert abs(kwargs.pop("received_at") - time.time()) < 5
    assert kwargs == {
        "appid": PLAIN_APPID,
        "push": {"trace_id": "t-1", "version": 1, "isrisky": 0, "status_code": 0, "errmsg": "", "detail": []},
    }


NO_VERDICTS: dict[str, Any] = {
    "a text": {"MsgType": "text", "Content": "hi"},
    "another event": {"MsgType": "event", "Event": "other"},
    "nothing": {},
    "an event with another appid": {"MsgType": "event", "Event": "other", "appid": APPID},
    "a control character in XML": b"<xml><MsgType>text</MsgType><Content><![CDATA[ \x1d ]]></Content></xml>",
    "a control character in JSON": b'{"MsgType":"text","Content":"\x10"}',
    "a repeated child": b"<xml><MsgType>event</MsgType><Event>other</Event><result><a/><a/></result></xml>",
    "no UTF-8": b'{"MsgType":"text","Content":"\xff"}',
    "deep JSON": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a huge number": b'{"a":' + b"1" * 100_000 + b"}",
}


@pytest.mark.parametrize("case", NO_VERDICTS)
def test_a_message_that_is_no_verdict_is_answered_success_whatever_it_holds(
    served: httpx.Client, broker: Valkey, case: str
) -> None:
    message = NO_VERDICTS[case]
    with counting(served, "not_a_verdict"):
        answer = push(served, message)
    assert (answer.status_code, answer.text) == (200, "success")
    assert pushed(broker) == []


REFUSED: dict[str, tuple[int, str, Callable[[httpx.Client], httpx.Response]]] = {
    "a wrong signature": (403, "bad_signature", lambda c: push(c, params=signed("wrong"))),
    "no query": (403, "bad_signature", lambda c: push(c, params={})),
    "a repeated parameter": (403, "bad_signature", lambda c: push(c, params=[*signed().items(), ("nonce", "n")])),
    "a stale timestamp": (
        403,
        "stale_timestamp",
        lambda c: push(c, params={"timestamp": "1", "nonce": "n", "signature": sign(TOKEN, "1", "n")}),
    ),
    "another appid": (403, "wrong_appid", lambda c: push(c, {**EVENT, "appid": APPID})),
    "a plain push beside an AES key": (403, "plain_refused", lambda c: push(c, appid=APPID)),
    "neither JSON nor XML": (400, "malformed", lambda c: push(c, b"hello")),
    "an empty body": (400, "malformed", lambda c: push(c, b"")),
    "half an object": (400, "malformed", lambda c: push(c, b'{"MsgType":"text","Content":"')),
    "a verdict with a control character": (
        400,
        "malformed",
        lambda c: push(c, b'{"MsgType":"event","Event":"wxa_media_check","trace_id":"\x10"}'),
    ),
    "a DTD": (400, "malformed", lambda c: push(c, b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///">]><xml>&e;</xml>')),
    "half a surrogate pair": (403, "bad_signature", lambda c: push(c, b'{"Encrypt":"\\ud800"}')),
    "no trace_id": (400, "no_trace_id", lambda c: push(c, {**EVENT, "trace_id": ""})),
    "an unknown appid": (404, "unknown_appid", lambda c: push(c, appid="wxunknown")),
    "an appid that forges log lines": (404, "unknown_appid", lambda c: push(c, appid="x%0aWARNING")),
    "over 1 MiB": (413, "too_large", lambda c: push(c, b" " * ((1 << 20) + 1))),
    "over 1 MiB in chunks": (413, "too_large", lambda c: push(c, content=(b" " * 65_536 for _ in range(40)))),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_answered_by_its_kind(served: httpx.Client, broker: Valkey, case: str) -> None:
    status, outcome, send = REFUSED[case]
    with counting(served, outcome):
        answer = send(served)
    assert (answer.status_code, answer.text) == (status, outcome)
    assert pushed(broker) == []


def test_a_body_of_1_mib_is_read(served: httpx.Client, broker: Valkey) -> None:
    message = json.dumps(EVENT).encode()
    assert push(served, message + b" " * ((1 << 20) - len(message))).status_code == 200
    assert len(pushed(broker)) == 1


def test_an_encrypted_push_without_a_key_cannot_be_decrypted(served: httpx.Client, broker: Valkey) -> None:
    params, body = secured(b"{}")
    answer = push(served, body, params=params)
    assert (answer.status_code, answer.text) == (400, "undecryptable")


def test_the_content_type_is_not_believed(served: httpx.Client, broker: Valkey) -> None:
    xml = b"<xml><MsgType>event</MsgType><Event>wxa_media_check</Event><trace_id>x</trace_id><isrisky>1</isrisky></xml>"
    assert push(served, xml, headers={"content-type": "application/json"}).status_code == 200
    assert push(served, headers={"content-type": "text/xml; charset=gbk"}).status_code == 200
    assert sorted(kwargs["push"]["isrisky"] for kwargs in pushed(broker)) == [0, 1]


def test_each_mini_program_has_its_own_token_and_keys(served: httpx.Client, broker: Valkey) -> None:
    message = json.dumps(EVENT).encode()
    for key in (OTHER_KEY, KEY):  # the current one and the one before
        params, body = secured(message, OTHER_TOKEN, key, OTHER_APPID)
        assert push(served, body, appid=OTHER_APPID, params=params).status_code == 200
        assert push(served, body, appid=APPID, params=params).text == "bad_signature"
    params, body = secured(message, OTHER_TOKEN, OTHER_KEY, APPID)
    assert push(served, body, appid=OTHER_APPID, params=params).text == "wrong_appid"
    assert [kwargs["appid"] for kwargs in pushed(broker)] == [OTHER_APPID] * 2


def test_blanks_around_encrypt_and_trace_id_are_stripped(served: httpx.Client, broker: Valkey) -> None:
    params, body = secured(json.dumps({**EVENT, "trace_id": " t-1\n"}).encode())
    xml = f"<xml>\n  <Encrypt>\n    {body['Encrypt']}\n  </Encrypt>\n</xml>".encode()
    assert served.post("/wechat/push", params=params, content=xml).text == "success"
    assert [kwargs["push"]["trace_id"] for kwargs in pushed(broker)] == ["t-1"]


def test_compatible_mode_believes_only_what_was_decrypted(served: httpx.Client, broker: Valkey) -> None:
    params, body = secured(json.dumps({**EVENT, "isrisky": 1}).encode())
    assert served.post("/wechat/push", params=params, json={**EVENT, **body, "trace_id": "forged"}).status_code == 200
    [kwargs] = pushed(broker)
    assert (kwargs["push"]["trace_id"], kwargs["push"]["isrisky"]) == ("t-1", 1)


# --- the published examples


def test_the_published_url_check_is_answered_with_its_echostr(served: httpx.Client) -> None:
    vector = ALL["get_verify"]
    params = {name: vector[name] for name in ("signature", "timestamp", "nonce", "echostr")}
    with time_machine.travel(int(vector["timestamp"])), counting(served, "url_check"):
        answer = served.get("/wechat/push", params=params)
    assert (answer.status_code, answer.text) == (200, vector["echostr"])
    assert answer.headers["content-type"].startswith("text/plain")
    assert served.get("/wechat/push", params=params).text == "stale_timestamp"


@pytest.mark.parametrize("path", ["/wechat/push", f"/wechat/push/{PLAIN_APPID}"])
def test_a_url_check_is_echoed_verbatim_or_refused(served: httpx.Client, path: str) -> None:
    echo = "<b>&+% 中\u2028"
    assert served.get(path, params=signed(echostr=echo)).text == echo
    for params in (signed(), signed("wrong", echostr=echo), {"echostr": echo}):
        assert served.get(path, params=params).status_code == 403


def test_the_published_plain_push_is_accepted(served: httpx.Client, broker: Valkey) -> None:
    vector = ALL["post_plain"]
    with time_machine.travel(int(vector["timestamp"])):
        assert push(served, params=vector).text == "success"
    assert len(pushed(broker)) == 1


@pytest.mark.parametrize("name", [name for name, vector in ALL.items() if "msg_signature" in vector])
def test_a_published_encrypted_push_is_accepted(served: httpx.Client, broker: Valkey, name: str) -> None:
    vector = ALL[name]
    params = {field: vector[field] for field in ("signature", "timestamp", "nonce", "msg_signature")}
    body = vector.get("body") or json.dumps({"Encrypt": vector["Encrypt"]})
    if name == "third_party_platform_xml":
        body = f"<xml><AppId>{APPID}</AppId><Encrypt>{vector['Encrypt']}</Encrypt></xml>"
    with time_machine.travel(int(vector["timestamp"])):
        answer = served.post(
            "/wechat/push", params={**params, "openid": "o", "encrypt_type": "aes"}, content=body.encode()
        )
    assert (answer.status_code, answer.text) == (200, "success")
    queued = pushed(broker)
    if name in VECTORS["official"]:
        assert queued == []  # a debug_demo event
    else:
        assert queued[0]["appid"] == APPID
        assert queued[0]["push"]["trace_id"] in vector["plain"]
        assert queued[0]["push"].get("errcode", queued[0]["push"].get("status_code")) == (
            -1008 if "error" in name else 0
        )


# --- the broker fails


def refused_in_time(client: httpx.Client, at_once: int = 1, hangs: bool = False) -> None:
    """Pushes are answered 503 within 3 s, and while they wait for a broker that hangs, others are answered."""
    with ThreadPoolExecutor(at_once) as pool:
        began = time.monotonic()
        answers = [pool.submit(push, client) for _ in range(at_once)]
        meanwhile = 0
        while not all(answer.done() for answer in answers):
            assert client.get("/livez").text == "alive"
            meanwhile += not any(answer.done() for answer in answers)
            time.sleep(0.05)
        took = time.monotonic() - began
    assert {(answer.result().status_code, answer.result().text) for answer in answers} == {(503, "broker_unavailable")}
    assert took < PUBLISH_SECONDS + SLACK
    assert not hangs or meanwhile > 2


def test_an_absent_broker_is_answered_503_until_it_comes_back(own_broker: Valkey, caplog: Any) -> None:
    with endpoint(own_broker.url) as client:
        assert push(client).status_code == 200
        own_broker.stop()
        with counting(client, "broker_unavailable"):
            refused_in_time(client)
        own_broker.start()
        assert push(client).status_code == 200
        assert len(pushed(own_broker)) == 1
    told = [record.getMessage() for record in caplog.records if "push_refused " in record.getMessage()]
    assert any("status=503" in line and "Error" in line and "BROKER_URL" in line for line in told)


def test_a_broker_that_hangs_is_answered_503_until_it_goes_on(own_broker: Valkey) -> None:
    with endpoint(own_broker.url) as client:
        assert push(client).status_code == 200
        own_broker.hang()
        refused_in_time(client, at_once=20, hangs=True)
        own_broker.go_on()
        eventually(lambda: push(client).status_code == 200)


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_an_endpoint_starts_while_its_broker_hangs(valkey: Valkey, scheme: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        began = time.monotonic()
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/0"
        with endpoint(url, make_settings(valkey.url)) as client:
            assert time.monotonic() - began < 10
            refused_in_time(client, hangs=True)
            assert client.get("/readyz").json() == {"broker": "down", "store": "ok"}


def test_a_broker_that_died_without_a_word_does_not_hold_the_endpoint(tmp_path: Path) -> None:
    """Its connections stay open and silent, as after a power cut, while a new one listens in its place."""
    with ExitStack() as stack:
        silent = socket.create_server(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        client = stack.enter_context(endpoint(f"redis://127.0.0.1:{port}/0"))
        refused = ThreadPoolExecutor(8).map(lambda _: push(client).status_code, range(8))
        silent.settimeout(0.5)
        held = []
        with suppress(TimeoutError):
            while True:
                held.append(silent.accept()[0])
                stack.callback(held[-1].close)
        assert held
        silent.close()
        server = Valkey(str(tmp_path), port)
        stack.callback(server.stop)
        assert set(refused) <= {200, 503}
        eventually(lambda: push(client).status_code == 200)
        assert all(push(client).status_code == 200 for _ in range(8))


def test_failures_hold_no_descriptors(own_broker: Valkey) -> None:
    def held() -> int:
        return len(os.listdir("/proc/self/fd"))

    with endpoint(own_broker.url) as client:
        for fail in (lambda: own_broker.run("REPLICAOF", "127.0.0.1", "1"), own_broker.stop):
            assert client.get("/readyz").status_code == 200
            fail()
            gc.disable()
            try:
                for count in range(200):
                    assert push(client).status_code == 503
                    client.get("/readyz")
                    if count == 20:
                        before = held()
                assert held() < before + 20
            finally:
                gc.enable()


def test_an_endpoint_starts_before_its_broker(own_broker: Valkey) -> None:
    own_broker.stop()
    with endpoint(own_broker.url) as client:
        refused_in_time(client)
        own_broker.start()
        assert push(client).status_code == 200


@pytest.mark.parametrize(
    ("fail", "mend", "error"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "maxmemory"),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "read only"),
    ],
    ids=["OOM", "READONLY"],
)
def test_a_broker_that_answers_errors_is_answered_503_until_it_takes_writes(
    own_broker: Valkey, caplog: Any, fail: tuple[str, ...], mend: tuple[str, ...], error: str
) -> None:
    with endpoint(own_broker.url) as client:
        assert push(client).status_code == 200
        own_broker.run(*fail)
        refused_in_time(client)
        own_broker.run(*mend)
        assert push(client).status_code == 200
    lines = [record.getMessage() for record in caplog.records if "status=503" in record.getMessage()]
    assert any(error in line for line in lines)
    assert not any("t-1" in line for line in lines)


def test_a_broker_that_was_emptied_loses_no_push(served: httpx.Client, broker: Valkey) -> None:
    """kombu forgets in silence what no binding leads to; the endpoint must not depend on one."""
    assert push(served).status_code == 200
    broker.run("FLUSHALL")
    assert push(served).status_code == 200
    assert broker.run("LLEN", PUSH_QUEUE) == 1


def test_pushes_at_the_same_time_are_all_queued(served: httpx.Client, broker: Valkey) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: push(served, {**EVENT, "trace_id": f"t-{n}"}).status_code, range(200)))
    assert set(answers) == {200}
    assert {kwargs["push"]["trace_id"] for kwargs in pushed(broker)} == {f"t-{n}" for n in range(200)}


# --- bodies that do not end


def test_a_body_that_does_not_come_in_time_is_answered_400(broker: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "BODY_SECONDS", 0.3)
    with endpoint(broker.url) as client:
        with closing(http.client.HTTPConnection("127.0.0.1", client.base_url.port or 0, timeout=10)) as slow:
            slow.putrequest("POST", f"/wechat/push/{PLAIN_APPID}?{urlencode(signed())}")
            slow.putheader("Content-Length", "100")
            slow.endheaders(b"{")
            answer = slow.getresponse()
            assert (answer.status, answer.read()) == (400, b"incomplete")
        assert counted(client, "incomplete") == 1


@pytest.mark.parametrize(
    ("params", "size"),
    [({}, 100), ({**signed(), "signature": "0" * 40}, 100), ({"msg_signature": "0" * 40}, 20_000)],
    ids=["unsigned", "wrongly signed", "large, and only its body signed"],
)
def test_a_strangers_body_is_not_waited_for(served: httpx.Client, params: dict[str, str], size: int) -> None:
    query = urlencode({"timestamp": str(int(time.time())), "nonce": "n", **params})
    with closing(http.client.HTTPConnection("127.0.0.1", served.base_url.port or 0, timeout=PATIENCE)) as stranger:
        stranger.putrequest("POST", f"/wechat/push?{query}")
        stranger.putheader("Content-Length", "1000000")
        stranger.endheaders(b" " * size)
        answer = stranger.getresponse()
        assert answer.status == 403


def test_a_client_that_leaves_half_way_is_counted_and_harms_nothing(broker: Valkey, caplog: Any) -> None:
    with endpoint(broker.url) as client:
        with closing(socket.create_connection(("127.0.0.1", client.base_url.port or 0))) as gone:
            path = f"/wechat/push/{PLAIN_APPID}?{urlencode(signed())}"
            gone.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{".encode())
            time.sleep(0.2)
        eventually(lambda: counted(client, "incomplete") == 1)
    assert not [record for record in caplog.records if record.levelno > logging.WARNING]


def test_a_body_that_is_announced_too_large_is_refused_before_it_comes(served: httpx.Client) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", served.base_url.port or 0, timeout=PATIENCE)) as large:
        large.putrequest("POST", f"/wechat/push/{PLAIN_APPID}")
        large.putheader("Content-Length", str((1 << 20) + 1))
        large.endheaders()
        answer = large.getresponse()
        assert (answer.status, answer.read()) == (413, b"too_large")


def test_a_client_that_reads_only_when_all_is_sent_still_gets_its_413(served: httpx.Client) -> None:
    size = 16 << 20
    with closing(socket.create_connection(("127.0.0.1", served.base_url.port or 0), timeout=10)) as eager:
        eager.sendall(f"POST /wechat/push/{PLAIN_APPID} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
        eager.sendall(b" " * size)
        assert eager.recv(1024).startswith(b"HTTP/1.1 413 ")


def send_for_ever(connection: socket.socket) -> None:
    while True:
        connection.sendall(b" " * 65_536)


@pytest.mark.timeout(60)
def test_a_body_without_end_is_cut_off(served: httpx.Client) -> None:
    began = time.monotonic()
    with closing(socket.create_connection(("127.0.0.1", served.base_url.port or 0), timeout=10)) as endless:
        endless.sendall(
            f"POST /wechat/push/{PLAIN_APPID} HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n".encode()
        )
        with pytest.raises(OSError, match=r"reset|[Bb]roken"):
            send_for_ever(endless)
    assert time.monotonic() - began < 5 + SLACK


# --- what operators see


def test_livez_answers_while_everything_else_is_away() -> None:
    with endpoint(f"redis://127.0.0.1:{free_port()}/0") as client:
        assert client.get("/livez").status_code == 200


def test_readyz_says_which_server_does_not_answer(broker: Valkey, own_broker: Valkey) -> None:
    with endpoint(own_broker.url, make_settings(broker.url)) as client:
        assert client.get("/readyz").status_code == 200
        assert client.get("/readyz").json() == {"broker": "ok", "store": "ok"}
        own_broker.stop()
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"broker": "down", "store": "ok"})
        own_broker.start()
        assert client.get("/readyz").status_code == 200
    with endpoint(broker.url, make_settings(own_broker.url)) as client:
        assert client.get("/readyz").status_code == 200
        own_broker.hang()
        with ThreadPoolExecutor(8) as pool:
            began = time.monotonic()
            answers = list(pool.map(lambda _: client.get("/readyz"), range(8)))
            assert time.monotonic() - began < 3 + SLACK
        assert {(answer.status_code, answer.text) for answer in answers} == {(503, '{"broker":"ok","store":"down"}')}
        own_broker.go_on()
        eventually(lambda: client.get("/readyz").status_code == 200)


def test_metrics_show_every_outcome_and_the_workers_counters(served: httpx.Client) -> None:
    answer = served.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    for outcome in Outcome:
        assert f'wxcheck_pushes_total{{outcome="{outcome}"}} ' in answer.text
    assert 'wxcheck_events_total{event="verdict"} 7.0' in answer.text
    assert "wxcheck_publish_seconds_bucket" in answer.text


def test_metrics_are_served_without_the_workers_counters_while_the_store_is_away(broker: Valkey) -> None:
    def away() -> dict[str, int]:
        raise redis.ConnectionError("the store is away")

    with endpoint(broker.url, cluster_counters=away) as client:
        assert push(client).status_code == 200
        assert counted(client, "queued") == 1


def test_without_a_default_mini_program_the_short_path_is_unknown(broker: Valkey) -> None:
    settings = make_settings(
        broker.url, appid=None, push_token=None, push_aes_key=None, apps={"wxa": {}, "wxb": {"push_token": TOKEN}}
    )
    with endpoint(broker.url, settings) as client:
        assert client.post("/wechat/push", params=signed(), json=EVENT).status_code == 404
        assert client.get("/wechat/push", params=signed(echostr="1")).status_code == 404
        assert push(client, appid="wxb").status_code == 200
        assert push(client, appid="wxa").status_code == 403  # it has no token


def test_other_methods_and_paths_are_refused(served: httpx.Client) -> None:
    assert served.put("/wechat/push").status_code == 405
    for path in ("/", "/wechat", "/wechat/push/", f"/wechat/push/{APPID}/x", "/docs"):
        assert served.post(path).status_code == 404


def test_the_log_says_what_to_do_and_nothing_that_was_sent(broker: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "callbacks")
    with endpoint(broker.url) as client:
        params, body = secured(json.dumps({**EVENT, "errmsg": "SENTINEL"}).encode())
        assert push(client, body, APPID, params=params).status_code == 200
        push(client, {**EVENT, "errmsg": "SENTINEL"}, APPID)
        push(client, b"SENTINEL")
        push(client, params=signed("wrong", openid="SENTINEL"))
        push(client, appid="x%0aSENTINEL")
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("callbacks")]
    assert len([line for line in lines if "Remedy: " in line]) == 4
    assert any("PUSH_PLAIN_ALLOWED" in line and APPID in line for line in lines)
    for secret in ("SENTINEL", TOKEN, KEY, params["signature"], params["msg_signature"], body["Encrypt"]):
        assert not [line for line in lines if secret in line]


def test_hostile_pushes_do_not_flood_the_log(broker: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    def written() -> list[str]:
        return [record.getMessage() for record in list(caplog.records) if "status=403" in record.getMessage()]

    with endpoint(broker.url) as client:
        began = time.monotonic()
        for _ in range(100):
            push(client, params={})
        seconds = time.monotonic() - began
        assert counted(client, "bad_signature") == 100
        eventually(lambda: any("more like it" in line for line in written()))
        push(client, params={})
    lines = written()
    assert 2 <= len(lines) <= seconds + 3
    assert any("more like it" in line for line in lines[1:])


# --- as a process


@contextmanager
def process(
    broker: str, *options: str, files: int | None = None, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """The endpoint as a process; ``files``: how many it may open."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WXCHECK_")}
    given = {
        "WXCHECK_REDIS_URL": broker,
        "WXCHECK_APPID": APPID,
        "WXCHECK_PUSH_TOKEN": TOKEN,
        "WXCHECK_PUSH_AES_KEY": KEY,
        "WXCHECK_CALLBACK_PORT": "0",
        "WXCHECK_LOG_FORMAT": "text",
    }
    command = [sys.executable, "-m", "callbacks", *options]
    if files is not None:
        command = ["sh", "-c", f'ulimit -n {files} && exec "$0" "$@"', *command]
    with ExitStack() as stack:
        running = stack.enter_context(
            subprocess.Popen(
                command,
                cwd=ROOT,
                env={**clean, **given, **environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(running.kill)
        yield running


def listening(running: subprocess.Popen[str]) -> str:
    assert running.stdout is not None
    line = running.stdout.readline()
    assert line.startswith("callbacks: listening on http://127.0.0.1:"), line
    return line.split()[-1]


def test_the_process_answers_what_is_under_way_and_ends_with_code_0(own_broker: Valkey) -> None:
    came, goes_on = threading.Event(), threading.Event()
    with (
        Relay(free_port(), own_broker.port) as relay,
        process(f"redis://127.0.0.1:{relay.port}/0", "--log-level", "debug") as running,
    ):
        url = listening(running)
        params, body = secured(json.dumps({**EVENT, "errmsg": "SENTINEL"}).encode())
        with httpx.Client(base_url=url, timeout=20, trust_env=False) as client, ThreadPoolExecutor(1) as pool:
            assert client.get("/readyz").status_code == 200
            assert client.post("/wechat/push", params=params, json=body).status_code == 200
            assert client.post("/wechat/push", params=signed("wrong"), json=body).status_code == 403

            def passes(data: bytes) -> bool:
                if PUSH_QUEUE.encode() not in data:
                    return True
                came.set()
                return goes_on.wait(PATIENCE)

            relay.before = passes
            under_way = pool.submit(client.post, "/wechat/push", params=params, json=body)
            assert came.wait(PATIENCE), "it is on its way to the broker"
            running.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            goes_on.set()
            assert under_way.result().text == "success"
        out, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0
    assert len(pushed(own_broker)) == 2
    for secret in ("SENTINEL", TOKEN, KEY, params["signature"], params["msg_signature"], body["Encrypt"]):
        assert secret not in out + err
    assert "push_queued " in err
    assert "Traceback" not in err


def test_an_end_amid_load_loses_no_push_that_was_answered_200(own_broker: Valkey) -> None:
    known: list[str] = []
    with process(own_broker.url) as running:
        url = listening(running)

        def send(thread: int) -> None:
            with httpx.Client(base_url=url, timeout=20, trust_env=False) as client, suppress(httpx.TransportError):
                for number in range(1000):
                    name = f"t-{thread}-{number}"
                    params, body = secured(json.dumps({**EVENT, "trace_id": name}).encode())
                    answer = client.post("/wechat/push", params=params, json=body)
                    assert (answer.status_code, answer.text) == (200, "success")
                    known.append(name)

        with ThreadPoolExecutor(8) as pool:
            senders = [pool.submit(send, thread) for thread in range(8)]
            eventually(lambda: len(known) > 200)
            running.send_signal(signal.SIGTERM)
            for sender in senders:
                sender.result()
        running.communicate(timeout=PATIENCE)
    assert running.returncode == 0
    queued = [kwargs["push"]["trace_id"] for kwargs in pushed(own_broker)]
    assert len(known) < 8000  # it ended amid them
    assert len(queued) == len(set(queued))
    # of each sender one may be queued whose answer it did not get
    assert set(known) <= set(queued)
    assert len(queued) <= len(known) + 8


def test_a_thousand_connections_left_open_hold_up_no_push_and_are_closed(broker: Valkey) -> None:
    served_before = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    params, body = secured(json.dumps(EVENT).encode())
    left_open = [b"", b"POST /wechat/push HTTP/1.1\r\nHost:", served_before, served_before + b"GET /li"]
    with process(broker.url) as running, ExitStack() as stack:
        # as many as a process is mostly given
        resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (1024, 4096))
        url = listening(running)
        address = "127.0.0.1", urlsplit(url).port or 0
        connections = []
        for number in range(1200):
            connection = stack.enter_context(closing(socket.create_connection(address, timeout=60)))
            connection.sendall(left_open[number % len(left_open)])
            connections.append(connection)
        with httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False) as client:
            assert client.post("/wechat/push", params=params, json=body).status_code == 200
        for connection in connections:
            while connection.recv(4096):
                pass
        with httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False) as client:
            assert client.post("/wechat/push", params=params, json=body).status_code == 200


IDLE = {
    "silent": b"",
    "half a head": b"POST /wechat/push?",
    "kept alive": b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    "half a body": b"POST /wechat/push HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
}


def allow_files(number: int) -> None:
    """This process holds the other ends."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most != resource.RLIM_INFINITY and most < number:
        pytest.skip(f"only {most} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, most))


def all_taken(url: str, stack: ExitStack, idle: bytes, connections: int) -> None:
    """Each push is taken while so many connections are open that say no more than ``idle``."""
    address = "127.0.0.1", urlsplit(url).port or 0
    params, body = secured(json.dumps(EVENT).encode())
    for number in range(connections):
        connection = stack.enter_context(closing(socket.create_connection(address, timeout=20)))
        with suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(idle)
        if number % 200 == 199:
            answer = httpx.post(f"{url}/wechat/push", params=params, json=body, timeout=20, trust_env=False)
            assert answer.text == "success"


@pytest.mark.parametrize("kind", IDLE)
def test_thousands_of_connections_that_say_nothing_hold_up_no_push(broker: Valkey, kind: str) -> None:
    allow_files(4000)
    with process(broker.url) as running, ExitStack() as stack:
        all_taken(listening(running), stack, IDLE[kind], 3000)


def test_no_more_connections_are_held_than_files_may_be_open(broker: Valkey) -> None:
    allow_files(4000)
    with process(broker.url, files=1024) as running, ExitStack() as stack:
        all_taken(listening(running), stack, b"", 2000)
        running.terminate()
        _, err = running.communicate(timeout=PATIENCE)
    assert "few_files" in err
    assert "Too many open files" not in err


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"POST /wechat/push HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
    ids=["no HTTP", "an upgrade", "no signature"],
)
def test_a_stranger_cannot_flood_the_log(broker: Valkey, request_: bytes) -> None:
    with process(broker.url, WXCHECK_LOG_FORMAT="json") as running:
        assert running.stderr is not None
        said = map(json.loads, running.stderr)
        url = next(line["url"] for line in said if line["event"] == "endpoint_starts")
        began = time.monotonic()

        def send() -> None:
            with closing(socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), timeout=20)) as stranger:
                stranger.sendall(request_)
                stranger.recv(4096)

        for _ in range(400):
            send()
        seconds = time.monotonic() - began
        lines: list[dict[str, Any]] = []
        told: Counter[str] = Counter()
        # the last line of a kind comes when its interval is over; the end, where one is missing
        running_out = threading.Timer(PATIENCE, running.terminate)
        running_out.start()
        for line in said:
            if line["level"] == "WARNING":
                lines.append(line)
                # of a library's lines, which have no event of their own, each sentence is a kind
                kind = line["message"].partition(" (and ")[0] if line["event"] == "uvicorn" else line["event"]
                # each that was not written is counted by the next line of its kind
                told[kind] += 1 + line.get("kept_back", 0)
            if told and set(told.values()) == {400}:
                break
        running_out.cancel()
        running.terminate()
        lines += [line for line in said if line["level"] == "WARNING"]
        running.wait(PATIENCE)
    assert lines
    assert len(lines) <= len(told) * (seconds + INTERVAL + 2)
    assert sum(1 + line.get("kept_back", 0) for line in lines) == 400 * len(told)


def test_the_process_starts_without_its_broker_and_ends_while_it_hangs(own_broker: Valkey) -> None:
    own_broker.hang()
    with process(own_broker.url) as running:
        url = listening(running)
        assert httpx.get(f"{url}/livez", trust_env=False).status_code == 200
        running.send_signal(signal.SIGTERM)
        _, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0
    assert "Traceback" not in err


def test_the_process_tells_every_fault_of_its_settings(broker: Valkey) -> None:
    with process(broker.url, WXCHECK_PUSH_TOKEN="", WXCHECK_CALLBACK_PORT="x", WXCHECK_PUSH_AES_KEY="short") as running:
        out, err = running.communicate(timeout=PATIENCE)
    assert running.returncode != 0
    assert out == ""
    for name in ("WXCHECK_PUSH_TOKEN", "WXCHECK_CALLBACK_PORT", "WXCHECK_PUSH_AES_KEY"):
        assert name in err
    assert "Traceback" not in err
