"""Connections that keep to a deadline: a call has one time-out for all of it, and when it is over, all of it ends.

It counts from the call's start to the last byte of the answer: name, addresses, TLS, sending, head and body. From then
on not a byte of the call reaches the platform any more, for the quota does not count it any longer. So

* connections are of a class of our own, which sends nothing once the time is over;
* a thread of its own, the watchdog, ends the connection of a call whose time is over. A time-out of a socket cannot do
  that: it counts from byte to byte, and what ``close`` finds unsent the kernel goes on sending;
* while a call is under way, its connection is marked to be reset when it is closed, so that also nothing goes out after
  a process that was killed; and the kernel is told until when it may send again what nobody acknowledged, for a process
  that stands still cannot end anything.

The name's resolution is the one thing that cannot be ended: a call may come late from it, but sends nothing then.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
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

#: SO_LINGER: closing resets the connection and drops what is unsent; closing goes on sending it
_RESET, _GRACE = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)
#: connect(2) to AF_UNSPEC dissolves a connection at once; Python's own connect cannot say it
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_NOWHERE = bytes(16)
#: milliseconds after which the kernel gives up what nobody acknowledged; not every system has it
_USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)

#: seconds; the watchdog looks at least as often, for no wait may be endlessly long
_LONGEST_NAP = 3600.0


class Call:
    """One call under way: its deadline, how far it came, and the connection that it is on.

    The lock makes sure that the watchdog ends a connection only while the call is on it, never under a later call.
    """

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.connection: Connection | None = None
        #: whether a byte of the request may have been sent
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
        """Raises TimeoutError once the deadline is past."""
        if self.late:
            raise TimeoutError("the call's time is over")

    def use(self, connection: Connection, *, sends: bool) -> None:
        """Puts the call on ``connection``, which the watchdog ends at the deadline from here on.

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
        """The answer is in: the connection stays as it is, for the next call.

        Raises:
            TimeoutError: the watchdog came first, and has ended the connection.
        """
        with self._lock:
            if self._expired:
                raise TimeoutError("the call's time is over")
            self._over = True
            if self._wire is not None:
                with contextlib.suppress(OSError):  # not every system takes it where the platform has gone already
                    self._wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _GRACE)

    def expire(self) -> None:
        """Ends the connection, if the call is still on it. For the watchdog, at the deadline."""
        with self._lock:
            if not self._over:
                self._expired = True
                self._cut()

    def end(self) -> None:
        """Lets go of the connection; of a call without an answer, nothing more is sent."""
        with self._lock:
            if not self._over:
                self._over = True
                self._cut()
        if self.connection is not None and self.connection.sock is None:
            self.connection.drop_wire()

    def _cut(self) -> None:
        """Ends the connection now: what is unsent is dropped, the platform gets a reset, and who waits wakes up."""
        if self._wire is None:
            return
        if _LIBC is not None:
            _LIBC.connect(self._wire.fileno(), _NOWHERE, len(_NOWHERE))
        # where that is not to be had: wakes the thread, which closes the connection, marked to be reset
        with contextlib.suppress(OSError):
            self._wire.shutdown(socket.SHUT_RDWR)


class _Current(threading.local):
    """The call that this thread is in: a session and its connections are one thread's."""

    call: Call | None = None


_current = _Current()


def _call() -> Call:
    if _current.call is None:
        raise RuntimeError("a connection is used outside of a call")
    return _current.call


class _Watchdog:
    """Expires each call at its deadline, in one thread a process, started with the first call.

    It holds the calls under way and no others. It sleeps until the earliest deadline that it saw when it last woke.
    Neither a call that ends in time nor a new one with a later deadline wakes it, so it wakes about once a time-out.
    """

    def __init__(self) -> None:
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """A child has neither the thread nor, it may be, a lock that is free: all of it is made anew."""
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
    """A call of this thread: whatever requests does within keeps to its ``deadline`` (seconds, monotonic).

    Left before :meth:`Call.complete`, it ends its connection.
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

    #: A second handle on the same connection, for the watchdog: it stays open until no call is on the connection. The
    #: first handle moves to another object with TLS, and closed under the watchdog's hand it could become another file.
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
        # what is sent while connecting is for a proxy
        _call().use(self, sends=not self._connecting)
        super().send(data)

    def close(self) -> None:
        super().close()
        call = _current.call
        # an answer that ends with its connection is read after this: then the call, when it ends, closes the handle
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
        """A socket connected to the first address that answers; each gets an even share of the time that is left."""
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
    """The same, over TLS."""
