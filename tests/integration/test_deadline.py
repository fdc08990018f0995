"""The time-out of a call holds for all of it, and after it no byte of the call reaches the platform."""

from __future__ import annotations

import contextlib
import datetime
import gc
import ipaddress
import os
import queue
import select
import signal
import socket
import ssl
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.processes import eventually
from wechat.answers import Unanswered
from wechat.deadline import Call, Connection
from wechat.http import Http

#: seconds; enough for a busy machine to connect and to send
TIMEOUT = 2.0
#: seconds that a busy machine may add; what drips would go on for longer
SLACK = 5.0
#: seconds for a call that is to be answered
PATIENCE = 30.0
OK = b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"errcode":0}'
#: elsewhere the platform may be told the end first, and the reset after it
CUT = [("reset", 0)] if sys.platform == "linux" else [("reset", 0), ("closed", 0)]
#: how a connection ended, and how many bytes came on it after its handler was done
End = tuple[str, int]
Handler = Callable[[socket.socket], None]


class Platform:
    """A server on sockets: the first connection is handled by the first handler, and so on; then all are answered."""

    def __init__(self, *handlers: Handler, tls: ssl.SSLContext | None = None, buffer: int | None = None) -> None:
        self._handlers = list(handlers)
        self._tls = tls
        self._listener = socket.socket()
        if buffer is not None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.address = self._listener.getsockname()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.address[1]}"
        self.connections = 0
        self.ends: queue.Queue[End] = queue.Queue()

    def __enter__(self) -> Platform:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            handler = self._handlers.pop(0) if self._handlers else answers
            threading.Thread(target=self._serve, args=(connection, handler), daemon=True).start()

    def _serve(self, connection: socket.socket, handler: Handler) -> None:
        with contextlib.ExitStack() as stack:
            # how it ends is read below TLS, which tells a reset as an end
            bare = stack.enter_context(connection.dup())
            stack.callback(connection.close)
            try:
                if self._tls and handler is not stalls:
                    connection = stack.enter_context(self._tls.wrap_socket(connection, server_side=True))
                handler(connection)
            except OSError as error:
                self.ends.put((type(error).__name__, 0))
                return
            rest = 0
            try:
                while got := bare.recv(65536):
                    rest += len(got)
                self.ends.put(("closed", rest))
            except ConnectionResetError:
                self.ends.put(("reset", rest))
            except OSError as error:
                self.ends.put((type(error).__name__, rest))

    def end(self) -> End:
        return self.ends.get(timeout=PATIENCE)


def request(connection: socket.socket) -> None:
    seen = b""
    while not seen.endswith(b"{}"):
        got = connection.recv(65536)
        if not got:
            raise ConnectionAbortedError
        seen += got


def answers(connection: socket.socket) -> None:
    while True:
        request(connection)
        connection.sendall(OK)


def stalls(_: socket.socket) -> None:
    pass


def is_silent(connection: socket.socket) -> None:
    request(connection)


def drip(connection: socket.socket, text: bytes) -> None:
    """Sends a byte each 0.1 s until the other side does anything."""
    request(connection)
    for byte in text:
        connection.sendall(bytes([byte]))
        if select.select([connection], [], [], 0.1)[0]:
            return


def drips_its_head(connection: socket.socket) -> None:
    drip(connection, b"HTTP/1.1 200 OK\r\nServer: " + b"x" * 100)


def drips_its_body(connection: socket.socket) -> None:
    request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
    for _ in range(100):
        connection.sendall(b" ")
        if select.select([connection], [], [], 0.1)[0]:
            return


def drips_a_body_without_end(connection: socket.socket) -> None:
    request(connection)
    connection.sendall(b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n")
    for _ in range(100):
        connection.sendall(b" ")
        if select.select([connection], [], [], 0.1)[0]:
            return


def reads_nothing_until(told: threading.Event, came: threading.Event) -> Handler:
    """Tells when the first byte came, and reads once it is told to."""

    def handler(connection: socket.socket) -> None:
        connection.recv(1, socket.MSG_PEEK)
        came.set()
        assert told.wait(PATIENCE)

    return handler


def post(http: Http, body: bytes = b"{}", **how: Any) -> int:
    return http.post("/wxa/msg_sec_check", {"access_token": "TOKEN"}, body, **how).errcode


def unanswered(http: Http, within: float = TIMEOUT, **how: Any) -> Unanswered:
    """A call that is given so many seconds, unless its deadline is named, and not answered in them."""
    start = time.monotonic()
    with pytest.raises(Unanswered) as caught:
        post(http, **{"deadline": start + within, **how})
    assert time.monotonic() - start < within + SLACK
    return caught.value


@contextlib.contextmanager
def full() -> Iterator[tuple[str, int]]:
    """The address of a listener whose backlog is full: connecting to it hangs."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        time.sleep(0.05)
        yield listener.getsockname()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """The context of a TLS server on 127.0.0.1, and the file with its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "platform")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "platform.pem"
    shown = certificate.public_bytes(serialization.Encoding.PEM)
    hidden = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(shown + hidden)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context, file


SLOW = [is_silent, drips_its_head, drips_its_body, drips_a_body_without_end]


@pytest.mark.parametrize("slow", SLOW)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_answer_that_is_not_whole_in_time_is_given_up_with_a_reset(
    slow: Handler, scheme: str, tls: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls[1]))
    with Platform(slow, tls=tls[0] if scheme == "https" else None) as platform:
        http = Http(platform.url, PATIENCE)
        failure = unanswered(http)
        assert (failure.reason, failure.taken) == ("no answer within the time-out", True)
        assert platform.end() in CUT
        assert post(http) == 0
        assert platform.connections == 2


@pytest.mark.parametrize("size", [300_000, 16_000_000])
def test_what_the_platform_has_not_taken_of_a_request_in_time_never_reaches_it(size: int) -> None:
    told = threading.Event()
    with Platform(reads_nothing_until(told, threading.Event()), buffer=4096) as platform:
        http = Http(platform.url, PATIENCE)
        failure = unanswered(http, body=b"x" * size + b"{}")
        told.set()
        assert (failure.reason, failure.taken) == ("no answer within the time-out", True)
        end, got = platform.end()
        assert end in dict(CUT)
        assert got < 100_000
        assert post(http) == 0


def test_a_tls_handshake_that_stalls_ends_in_time_with_nothing_sent(tls: tuple[ssl.SSLContext, Path]) -> None:
    with Platform(stalls, tls=tls[0]) as platform:
        failure = unanswered(Http(platform.url, PATIENCE))
        assert (failure.reason, failure.taken) == ("no connection within the time-out", False)
        assert platform.end()[0] in dict(CUT)


def test_a_platform_with_a_strange_certificate_is_sent_nothing(tls: tuple[ssl.SSLContext, Path]) -> None:
    with Platform(tls=tls[0]) as platform:
        failure = unanswered(Http(platform.url, PATIENCE), within=PATIENCE)
    assert (failure.reason, failure.taken) == ("no connection", False)


def test_connecting_ends_in_time_with_nothing_sent() -> None:
    with full() as (host, port):
        failure = unanswered(Http(f"http://{host}:{port}", PATIENCE))
    assert (failure.reason, failure.taken) == ("no connection within the time-out", False)


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int], takes: float = 0) -> None:
    """Names of several addresses, and slow ones, are not to be had on every machine."""

    def getaddrinfo(*_: object) -> list[Any]:
        time.sleep(takes)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

    monkeypatch.setattr("wechat.deadline.socket.getaddrinfo", getaddrinfo)


def test_several_addresses_that_hang_share_one_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with full() as address:
        resolve_to(monkeypatch, *[address] * 6)
        failure = unanswered(Http("http://platform.test", PATIENCE))
    assert (failure.reason, failure.taken) == ("no connection within the time-out", False)


def test_an_address_that_hangs_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with full() as address, Platform() as platform:
        resolve_to(monkeypatch, address, platform.address)
        assert post(Http("http://platform.test", 4)) == 0


def test_nothing_is_sent_after_a_name_that_came_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    with Platform() as platform:
        resolve_to(monkeypatch, platform.address, takes=1)
        failure = unanswered(Http("http://platform.test", PATIENCE), within=1, deadline=time.monotonic() + 0.5)
        assert (failure.reason, failure.taken) == ("no connection within the time-out", False)
        assert platform.connections == 0


def test_a_call_can_be_given_less_time_than_the_others_and_not_more() -> None:
    with Platform(is_silent, is_silent) as platform:
        start = time.monotonic()
        assert unanswered(Http(platform.url, PATIENCE), deadline=start + TIMEOUT).taken
        assert time.monotonic() - start >= TIMEOUT
        assert unanswered(Http(platform.url, TIMEOUT), deadline=start + PATIENCE).taken


@pytest.mark.parametrize("left", [0, -1])
def test_a_call_without_time_is_not_made(left: float) -> None:
    with Platform() as platform:
        failure = unanswered(Http(platform.url, TIMEOUT), deadline=time.monotonic() + left)
        assert (failure.reason, failure.taken) == ("no connection within the time-out", False)
        assert platform.connections == 0


def test_the_deadline_of_a_call_that_was_answered_does_not_end_the_next_one() -> None:
    def answers_slowly(connection: socket.socket) -> None:
        for wait in (0, TIMEOUT + 0.3, 0):
            request(connection)
            time.sleep(wait)
            connection.sendall(OK)

    with Platform(answers_slowly) as platform:
        http = Http(platform.url, PATIENCE)
        assert post(http, deadline=time.monotonic() + TIMEOUT) == 0
        assert post(http) == 0
        assert post(http) == 0
        assert platform.connections == 1


@contextlib.contextmanager
def connected() -> Iterator[tuple[Connection, socket.socket, socket.socket]]:
    """A connection, its own socket and the one at the other end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = Connection(*listener.getsockname())
        with socket.create_connection(listener.getsockname()) as near, listener.accept()[0] as far:
            connection.wire = near.dup()
            yield connection, near, far
            connection.close()


def test_a_call_that_is_complete_leaves_its_connection_alone() -> None:
    with connected() as (connection, near, far):
        call = Call(time.monotonic() + 10)
        call.use(connection, sends=True)
        call.complete()
        call.expire()
        call.end()
        near.sendall(b"next")
        assert far.recv(10) == b"next"


def test_a_call_that_has_expired_is_not_completed_and_its_connection_is_of_no_use() -> None:
    with connected() as (connection, near, _):
        call = Call(time.monotonic() + 10)
        call.use(connection, sends=True)
        call.expire()
        with pytest.raises(TimeoutError):
            call.complete()
        with pytest.raises(OSError):
            near.sendall(b"next")


def test_a_call_past_its_deadline_sends_nothing() -> None:
    with connected() as (connection, _, _):
        call = Call(time.monotonic())
        with pytest.raises(TimeoutError):
            call.use(connection, sends=True)
        assert not call.sent


def test_a_kept_connection_that_the_platform_has_closed_is_made_anew() -> None:
    has_closed = threading.Event()

    def answers_once(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(OK)
        connection.shutdown(socket.SHUT_WR)
        has_closed.set()

    with Platform(answers_once) as platform:
        http = Http(platform.url, PATIENCE)
        assert post(http) == 0
        assert has_closed.wait(PATIENCE)
        time.sleep(0.05)
        assert post(http) == 0
        assert platform.end() == ("closed", 0)
        assert platform.connections == 2


def test_calls_leave_nothing_behind() -> None:
    def open_files() -> int:
        return len(os.listdir("/dev/fd"))

    with Platform() as platform:
        http = Http(platform.url, PATIENCE)
        assert post(http) == 0
        before = open_files()
        for _ in range(300):
            post(http)
        assert sum(isinstance(thing, Call) for thing in gc.get_objects()) < 50
        assert open_files() < before + 50
    assert [thread.name for thread in threading.enumerate()].count("http-watchdog") == 1


def test_each_of_many_threads_is_given_up_at_its_own_deadline() -> None:
    took: dict[float, float] = {}

    def run(http: Http, timeout: float) -> None:
        start = time.monotonic()
        with pytest.raises(Unanswered):
            post(http, deadline=start + timeout)
        took[timeout] = time.monotonic() - start

    over = threading.Event()

    def answers_when_it_is_over(connection: socket.socket) -> None:
        request(connection)
        assert over.wait(PATIENCE)
        connection.sendall(OK)

    with Platform(answers_when_it_is_over, *[drips_its_head] * 12) as platform, ThreadPoolExecutor(1) as pool:
        http = Http(platform.url, PATIENCE)
        # one whose deadline is much later: who waits for that ends none of the others in time
        longest = pool.submit(post, http)
        eventually(lambda: platform.connections == 1, "it is under way")
        threads = [threading.Thread(target=run, args=(http, 1.2 - number / 10)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        over.set()
        assert longest.result() == 0
        assert len(took) == 12
        assert all(timeout <= seconds < timeout + SLACK for timeout, seconds in took.items())


def fork(work: Callable[[], bool]) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns where threads run, as they do here
        child = os.fork()
    if child == 0:
        done = False
        try:
            done = work()
        finally:
            os._exit(0 if done else 1)
    return child


def test_nothing_goes_out_after_a_process_that_was_killed() -> None:
    told, came = threading.Event(), threading.Event()
    with Platform(reads_nothing_until(told, came), buffer=4096) as platform:
        child = fork(lambda: bool(post(Http(platform.url, 2 * PATIENCE), b"x" * 300_000)))
        assert came.wait(PATIENCE)
        time.sleep(0.5)  # it goes on sending, as far as the kernel takes it
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        told.set()
        end, got = platform.end()
        assert end == "reset"
        assert got < 100_000


def test_a_connection_is_kept_for_the_next_call_and_closed_if_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with Platform() as platform:
        http = Http(platform.url, PATIENCE)
        for _ in range(2):
            assert post(http) == 0
            http.close_idle()
        assert platform.connections == 1
        monkeypatch.setattr("wechat.http.IDLE", 0.0)
        http.close_idle()
        assert post(http) == 0
        assert platform.connections == 2
