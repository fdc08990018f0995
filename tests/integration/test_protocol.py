"""The endpoint's listener closes connections that hold more, or for longer, than one may; real sockets."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any
from unittest.mock import Mock

import pytest
import uvicorn
import uvloop

from callbacks import protocol
from tests.support.processes import eventually

#: seconds for a head here, and for an answer to a request for /late: more
HEAD_SECONDS = 0.4
LATE = 3 * HEAD_SECONDS
#: connections at one time
LIMIT = 40
REQUEST = "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"
#: whether a request for /late is under way
late_began = threading.Event()


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/late":
        late_began.set()
        await asyncio.sleep(LATE)
    if scope["path"] == "/large":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(500):  # more than sockets buffer
            await send({"type": "http.response.body", "body": b"a" * 100_000, "more_body": True})
    if scope["path"] == "/body":
        more = True
        while more:
            more = (await receive()).get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    if scope["path"] == "/broken":
        raise ConnectionError("in the middle of an answer")
    await send({"type": "http.response.body", "body": b"done"})


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def server(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[uvicorn.Server]:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", HEAD_SECONDS)
    options = {"log_config": None, "ws": "none", "lifespan": "off", "limit_concurrency": LIMIT}
    server = uvicorn.Server(uvicorn.Config(app, port=0, http=protocol.Protocol, **options))  # type: ignore[arg-type]

    def serve() -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(server.serve())

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        eventually(lambda: server.started, "it listens")
        yield server
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def port(server: uvicorn.Server) -> int:
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port


def said(port: int, *sent: str) -> str:
    """All that a connection gets until it is closed, which it has to be; what is sent after the first is sent when
    there was an answer."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=20)) as connection:
        got = b""
        for number, text in enumerate(sent):
            got += connection.recv(1000) if number else b""
            connection.sendall(text.encode())
        while part := connection.recv(1000):
            got += part
        return got.decode()


@pytest.mark.parametrize("sent", ["", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\n"], ids=["silent", "a word", "half"])
def test_a_connection_on_which_no_whole_head_comes_is_closed(port: int, sent: str) -> None:
    assert said(port, sent) == ""


def opened(stack: ExitStack, port: int, sent: str) -> socket.socket:
    connection = stack.enter_context(closing(socket.create_connection(("127.0.0.1", port), timeout=20)))
    connection.sendall(sent.encode())
    return connection


SAY_NOTHING = {
    "silent": "",
    "half a head": "GET / HT",
    "kept alive": REQUEST.format(path="/"),
    "never reads": REQUEST.format(path="/large"),
}


@pytest.mark.parametrize("what", SAY_NOTHING)
def test_connections_that_wait_take_no_place_from_requests(
    port: int, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long they may wait."""
    for bound in ("FIRST_BYTE_SECONDS", "HEAD_SECONDS", "UNREAD_SECONDS"):
        monkeypatch.setattr(protocol, bound, 60.0)
    with ExitStack() as stack:
        for _ in range(5 * LIMIT):
            opened(stack, port, SAY_NOTHING[what])
        for _ in range(3):
            assert said(port, REQUEST.format(path="/").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).count(
                "done"
            )


def test_a_request_under_way_is_not_closed_for_a_new_connection(port: int) -> None:
    with ExitStack() as stack:
        late_began.clear()
        late = opened(stack, port, REQUEST.format(path="/late"))
        assert late_began.wait(20)
        for _ in range(2 * LIMIT):
            opened(stack, port, "")
        assert late.recv(1000).endswith(b"done")


def test_a_connection_whose_first_byte_does_not_come_is_closed_sooner_than_one_in_a_head(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "FIRST_BYTE_SECONDS", 0.2)
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 3600.0)
    with ExitStack() as stack:
        in_head = opened(stack, port, "GET / HT")
        assert said(port, "") == ""
        in_head.sendall(b"TP/1.1\r\nHost: x\r\n\r\n")
        assert in_head.recv(1000).endswith(b"done")


def test_a_head_that_trickles_in_is_no_head(port: int) -> None:
    with ExitStack() as stack:
        trickling = opened(stack, port, "GET / HTTP/1.1\r\nA: ")
        trickling.settimeout(HEAD_SECONDS / 10)
        closed = False
        for _ in range(1000):
            try:
                trickling.sendall(b"a")
                closed = trickling.recv(1000) == b""
            except TimeoutError:
                continue
            except OSError:
                closed = True
            if closed:
                break
        assert closed


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_a_client_that_never_takes_its_answer_is_let_go(
    server: uvicorn.Server, port: int, connection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "UNREAD_SECONDS", 0.3)
    with ExitStack() as stack:
        opened(stack, port, f"GET /large HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n\r\n")
        eventually(lambda: len(server.server_state.tasks) == 1, "its request is under way")
        eventually(lambda: not server.server_state.connections, "it is closed")


def test_a_connection_on_which_half_a_head_follows_an_answer_is_closed(port: int) -> None:
    """uvicorn waits for a while for the first byte, and without end for the rest."""
    assert said(port, REQUEST.format(path="/"), "GET / HT").count("done") == 1


def test_a_request_that_takes_longer_is_answered(port: int) -> None:
    assert said(port, REQUEST.format(path="/late")).count("done") == 1


def test_a_request_that_came_before_the_answer_to_the_one_before_it_is_answered(port: int) -> None:
    """Pipelined: it is begun where the one before ends."""
    assert said(port, REQUEST.format(path="/") + REQUEST.format(path="/late")).count("done") == 2


def test_the_head_of_an_answer_goes_out_with_its_body(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    write = protocol._Joined.write

    def noted(self: Any, data: bytes) -> None:
        transport = self._transport
        self._transport = Mock(wraps=transport)
        write(self, data)
        written.extend(call.args[0] for call in self._transport.write.call_args_list)
        self._transport = transport

    monkeypatch.setattr(protocol._Joined, "write", noted)
    assert said(port, REQUEST.format(path="/"), REQUEST.format(path="/")).count("done") == 2
    assert [(piece[:12], piece[-4:]) for piece in written] == [(b"HTTP/1.1 200", b"done")] * 2


def test_an_answer_that_breaks_off_has_its_head(port: int) -> None:
    answer = said(port, REQUEST.format(path="/broken"))
    assert answer.startswith("HTTP/1.1 200 OK\r\n")
    assert answer.endswith("\r\n\r\n")


def test_who_asks_whether_to_send_a_body_is_told_at_once(port: int) -> None:
    head = "POST /body HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    with closing(socket.create_connection(("127.0.0.1", port), timeout=20)) as connection:
        connection.sendall(head.encode())
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        assert connection.recv(1000).endswith(b"done")


def answered(port: int, pieces: Iterator[bytes]) -> tuple[bytes, int]:
    """The answer while ``pieces`` are sent, and the number of their bytes that the listener took before it closed."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=20)) as connection:
        taken = 0
        try:
            for piece in pieces:
                connection.sendall(piece)
                taken += len(piece)
        except OSError:
            return b"", taken
        got = b""
        try:
            while part := connection.recv(65536):
                got += part
        except ConnectionResetError:
            pass  # with bytes of ours unread
        return got, taken


HEAD = b"POST /body HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "a header": (HEAD + b"A: ", b"a" * 1000),
    "headers": (HEAD, b"A: %s\r\n" % (b"a" * 994)),
    "a target": (b"GET /", b"a" * 1000),
    "a trailer": (CHUNKED + b"1\r\na\r\n0\r\nA: ", b"a" * 1000),
    "trailers": (CHUNKED + b"1\r\na\r\n0\r\n", b"A: %s\r\n" % (b"a" * 994)),
    "a chunk's extension": (CHUNKED + b"1;", b"a" * 1000),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_what_has_no_end_and_is_no_body_is_cut_off(port: int, what: str) -> None:
    first, again = ENDLESS[what]

    def pieces() -> Iterator[bytes]:
        yield first
        for _ in range(20_000):  # 20 MB, of which sockets buffer some
            yield again

    got, taken = answered(port, pieces())
    assert taken < 15_000_000
    assert b"done" not in got


@pytest.mark.parametrize("size", [protocol.MAX_HEAD - 100, protocol.MAX_HEAD + 100])
def test_a_head_has_so_many_bytes_and_no_more_however_it_comes(port: int, size: int) -> None:
    start = HEAD + b"Connection: close\r\nContent-Length: 40000\r\nA: "
    head = start + b"a" * (size - len(start)) + b"\r\n\r\n"
    body = b"b" * 40_000
    for pieces in ([head + body], [head[:9000], head[9000:] + body], [head, body]):
        got, _ = answered(port, iter(pieces))
        assert (b"done" in got) == (size < protocol.MAX_HEAD)


def test_a_large_body_in_small_chunks_is_no_head(port: int) -> None:
    start = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    got, _ = answered(port, iter([start, *[b"1\r\na\r\n" * 1000] * 50, b"0\r\n\r\n"]))
    assert b"done" in got


def test_few_requests_wait_for_the_answers_to_those_before_them(port: int) -> None:
    late = REQUEST.format(path="/late").encode()
    few = late * (protocol.MAX_AHEAD // 4) + HEAD + b"Connection: close\r\nContent-Length: 0\r\n\r\n"
    got, _ = answered(port, iter([few]))
    assert got.count(b"done") == protocol.MAX_AHEAD // 4 + 1
    got, _ = answered(port, iter([late + REQUEST.format(path="/").encode() * 5000]))
    assert got.count(b"done") <= 1


NO_REQUESTS = [
    "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET / HTTP/1.1\r\nHost x\r\n\r\n",
    "\x16\x03\x01",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]


@pytest.mark.parametrize("sent", NO_REQUESTS, ids=["a tunnel", "no header", "TLS", "HTTP/2"])
def test_what_is_no_request_is_answered_400_and_closed(port: int, sent: str) -> None:
    assert said(port, sent).startswith("HTTP/1.1 400 ")


def test_a_request_to_speak_another_protocol_is_answered_as_one_of_this(port: int) -> None:
    upgrade = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert said(port, upgrade).count("done") == 1
