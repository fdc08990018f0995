"""Connections that keep to a deadline: at the time-out of a call, all of the call ends.

The time-out runs from the call's start to the last byte of the answer: name, addresses, TLS, sending, head and body.
After the deadline the quota no longer counts the call, so not a byte of the call may reach the platform. Therefore

* connections are of a class of our own, which sends nothing after the deadline;
* a thread of its own, the watchdog, ends the connection of a call at the deadline. A socket's time-out cannot do that:
  a socket counts from byte to byte, and after ``close`` the kernel goes on sending the unsent bytes;
* a connection with a call under way is marked to be reset on closing, so that nothing goes out after the process was
  killed. The kernel also gets a bound for sending unacknowledged bytes again, since a stopped process can end nothing.

Only the name's resolution cannot be ended: a call may come late from the resolution, but then sends nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import urllib3.exceptions
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.connection import allowed_gai_family

#: SO_LINGER: on closing, reset the connection and drop unsent bytes; on closing, go on sending them
_RESET, _GRACE = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)
#: connect(2) to AF_UNSPEC dissolves a connection at once; Python's own connect does not offer AF_UNSPEC
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_NOWHERE = bytes(16)
#: milliseconds after which the kernel gives up unacknowledged bytes; not every system has this option
_USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)

#: seconds; the longest wait of the watchdog, since a wait must not be infinite
_LONGEST_NAP = 3600.0


class Call:
    """A call under way: its deadline, its progress and its connection.

    The lock lets the watchdog end a connection only while the call uses the connection, never under a later call.
    """

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.connection: Connection | None = None
        #: a byte of the request may have been sent
        self.sent = False
        self._wire: socket.socket | None = None
        self._over = False
        self._expired = False
        self._lock = threading.Lock()

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    @property
    def late(self) -> bool:
        return self._expired or self.left <= 0

    def check(self) -> None:
        """Raise TimeoutError once the deadline is past."""
        if self.late:
            raise TimeoutError("the call's time is over")

    def use(self, connection: Connection, *, sends: bool) -> None:
        """Put the call on ``connection``; from then on the watchdog ends the connection at the deadline.

        ``sends``: a byte of the request goes out next.

        Raises:
            TimeoutError: the deadline is past.
        """
        with self._lock:
            self.check()
            if self.connection is not connection:
                self.connection = connection
                self._wire = connection.wire
                if self._wire is not None:
                    self._wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    if _USER_TIMEOUT is not None:
                        milliseconds = max(1, int(self.left * 1000))
                        self._wire.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, milliseconds)
            self.sent = self.sent or sends

    def complete(self) -> None:
        """Note that the answer is in, so that the connection stays open for the next call.

        Raises:
            TimeoutError: the watchdog came first, and has ended the connection.
        """
        with self._lock:
            if self._expired:
                raise TimeoutError("the call's time is over")
            self._over = True
            if self._wire is not None:
                with contextlib.suppress(OSError):  # not every system takes the option once the platform has closed
                    self._wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _GRACE)

    def expire(self) -> None:
        """End the connection, if the call still uses it. For the watchdog, at the deadline."""
        with self._lock:
            if not self._over:
                self._expired = True
                self._cut()

    def end(self) -> None:
        """Let go of the connection. A call without an answer sends nothing more."""
        with self._lock:
            if not self._over:
                self._over = True
                self._cut()
        if self.connection is not None and self.connection.sock is None:
            self.connection.drop_wire()

    def _cut(self) -> None:
        """End the connection now: drop unsent bytes, send the platform a reset, and wake the waiting thread."""
        if self._wire is None:
            return
        if _LIBC is not None:
            _LIBC.connect(self._wire.fileno(), _NOWHERE, len(_NOWHERE))
        # on other systems: wake the thread, which closes the connection, marked to be reset
        with contextlib.suppress(OSError):
            self._wire.shutdown(socket.SHUT_RDWR)


class _Current(threading.local):
    """The call of the current thread; a session and its connections belong to one thread."""

    call: Call | None = None


_current = _Current()


def _call() -> Call:
    if _current.call is None:
        raise RuntimeError("a connection is used outside of a call")
    return _current.call


class _Watchdog:
    """Ends each call at its deadline, in one thread a process, which the first call starts.

    The watchdog holds only calls under way, and sleeps until the earliest deadline known at its last waking. Neither a
    call that ends in time nor a new call with a later deadline wakes the watchdog, so it wakes about once a time-out.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._calls: set[Call] = set()
        self._wakes_at = math.inf
        self._thread: threading.Thread | None = None

    def watch(self, call: Call) -> None:
        with self._changed:
            self._calls.add(call)
            if call.deadline < self._wakes_at:
                self._wakes_at = call.deadline
                self._changed.notify()
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="http-watchdog", daemon=True)
                thread.start()
                self._thread = thread

    def forget(self, call: Call) -> None:
        with self._changed:
            self._calls.discard(call)

    def _run(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                due = [call for call in self._calls if call.deadline <= now]
                self._calls.difference_update(due)
                self._wakes_at = min((call.deadline for call in self._calls), default=math.inf)
                if not due:
                    self._changed.wait(min(self._wakes_at - now, _LONGEST_NAP))
            for call in due:
                call.expire()


_watchdog = _Watchdog()


@contextlib.contextmanager
def under_way(deadline: float) -> Iterator[Call]:
    """Begin a call of this thread: everything that requests does within keeps to ``deadline`` (seconds, monotonic).

    Leaving the block before :meth:`Call.complete` ends the connection.
    """
    call = Call(deadline)
    _current.call = call
    try:
        _watchdog.watch(call)
        yield call
    finally:
        _watchdog.forget(call)
        _current.call = None
        call.end()


class Connection(HTTPConnection):
    """A connection that keeps to the deadline of its thread's call."""

    #: A second handle on the same connection, for the watchdog, open until no call uses the connection. With TLS the
    #: first handle moves to another object, and if closed while the watchdog uses it, its number could belong to
    #: another file.
    wire: socket.socket | None = None
    _connecting = False

    def connect(self) -> None:
        self._connecting = True
        try:
            super().connect()
        finally:
            self._connecting = False

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        # bytes sent while connecting are for a proxy
        _call().use(self, sends=not self._connecting)
        super().send(data)

    def close(self) -> None:
        super().close()
        call = _current.call
        # requests reads an answer without a length after this close: then the call closes the handle at its own end
        if call is None or call.connection is not self:
            self.drop_wire()

    def drop_wire(self) -> None:
        if self.wire is not None:
            self.wire.close()
            self.wire = None

    def _new_conn(self) -> socket.socket:
        call = _call()
        try:
            sock = self._open(call)
        except socket.gaierror as error:
            raise urllib3.exceptions.NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise urllib3.exceptions.ConnectTimeoutError(self, "no connection within the time-out") from error
        except (OSError, UnicodeError) as error:
            raise urllib3.exceptions.NewConnectionError(self, type(error).__name__) from error
        try:
            self.drop_wire()
            self.wire = sock.dup()
            call.use(self, sends=False)
        except OSError:
            sock.close()
            raise
        return sock

    def _open(self, call: Call) -> socket.socket:
        """Return a socket connected to the first address that answers; the addresses share the time left evenly."""
        host = self._dns_host.strip("[]")
        addresses = socket.getaddrinfo(host, self.port, allowed_gai_family(), socket.SOCK_STREAM)
        failure: OSError = OSError("the name has no address")
        for number, (family, kind, protocol, _, address) in enumerate(addresses):
            call.check()
            sock = None
            try:
                sock = socket.socket(family, kind, protocol)
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                sock.settimeout(call.left / (len(addresses) - number))
                sock.connect(address)
                sock.settimeout(call.left)
            except (OSError, ValueError) as error:
                if sock is not None:
                    sock.close()
                failure = error if isinstance(error, OSError) else TimeoutError("the call's time is over")
            else:
                return sock
        raise failure


class TlsConnection(Connection, HTTPSConnection):
    """A TLS connection that keeps to the deadline of its thread's call."""
