"""What the endpoint's listener does with connections on which no request comes, over real sockets."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import uvicorn

from callbacks import protocol
from tests.support.processes import eventually

#: seconds for a head here, and for an answer to a request for /late: more
HEAD_SECONDS = 0.4
LATE = 3 * HEAD_SECONDS
REQUEST = "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"


async def app(scope: Any, _receive: Any, send: Any) -> None:
    if scope["path"] == "/late":
        await asyncio.sleep(LATE)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"done"})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", HEAD_SECONDS)
    config = uvicorn.Config(app, port=0, http=protocol.Protocol, log_config=None, ws="none", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        eventually(lambda: server.started, "it listens")
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


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


def test_a_connection_on_which_half_a_head_follows_an_answer_is_closed(port: int) -> None:
    """uvicorn waits for a while for the first byte, and without end for the rest."""
    assert said(port, REQUEST.format(path="/"), "GET / HT").count("done") == 1


def test_a_request_that_takes_longer_is_answered(port: int) -> None:
    assert said(port, REQUEST.format(path="/late")).count("done") == 1


def test_a_request_that_came_before_the_answer_to_the_one_before_it_is_answered(port: int) -> None:
    """Pipelined: it is begun where the one before ends."""
    assert said(port, REQUEST.format(path="/") + REQUEST.format(path="/late")).count("done") == 2
