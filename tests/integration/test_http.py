"""Calls to a platform that misbehaves below the level of HTTP end in time, by a name, and without their token."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from wechat.answers import Unanswered
from wechat.http import MAX_ANSWER, Http
from worker.celery_parts.logs import keep_quiet

TOKEN = "TOKEN-that-nobody-may-see"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


@contextmanager
def platform(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """The URL of a server that reads a request and lets ``answer`` do the rest."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with closing(connection):
                connection.recv(65536)
                try:
                    answer(connection)
                except OSError:
                    return

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def call(url: str) -> None:
    Http(url, timeout=2).post("/wxa/msg_sec_check", {"access_token": TOKEN}, b"{}")


def silent(_: socket.socket) -> None:
    time.sleep(3)


def stalls(connection: socket.socket) -> None:
    connection.sendall(HEAD + b'Content-Length: 50\r\n\r\n{"errcode":')
    time.sleep(3)


def drips(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Length: 5000\r\n\r\n")
    for _ in range(100):
        connection.sendall(b" ")
        time.sleep(0.05)


def is_cut(connection: socket.socket) -> None:
    connection.sendall(HEAD + b'Content-Length: 50\r\n\r\n{"errcode":')


def resets(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Length: 50\r\n\r\n{")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def is_no_gzip(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope")


def has_bad_chunks(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")


def has_a_bad_header(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nthis is no header\r\nContent-Length: 4\r\n\r\nnope")


def is_no_http(connection: socket.socket) -> None:
    connection.sendall(b"\x15\x03\x01\x00\x02\x02P")


def is_endless(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"\r\n")
    for _ in range(2 * MAX_ANSWER // 65536):
        connection.sendall(b" " * 65536)


@pytest.mark.parametrize(
    "answer",
    [silent, stalls, drips, is_cut, resets, is_no_gzip, has_bad_chunks, has_a_bad_header, is_no_http, is_endless],
)
def test_a_platform_that_misbehaves_is_an_unanswered_call_that_may_have_been_taken(
    answer: Callable[[socket.socket], None], caplog: pytest.LogCaptureFixture
) -> None:
    keep_quiet()
    caplog.set_level(logging.DEBUG)
    with platform(answer) as url, pytest.raises(Unanswered) as unanswered:
        call(url)
    assert unanswered.value.taken
    assert TOKEN not in caplog.text
    shown = unanswered.value
    while shown is not None:
        assert TOKEN not in repr(shown) + str(shown)
        shown = None if shown.__suppress_context__ else shown.__context__  # type: ignore[assignment]


def test_a_platform_that_is_not_there_has_not_taken_the_call() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(Unanswered, match="no connection") as unanswered:
        call(url)
    assert not unanswered.value.taken
