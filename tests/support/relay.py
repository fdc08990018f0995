"""A TCP relay before a server: it can go away, and end a process at the very moment of one of its commands."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Self


class Relay:
    """Passes on what comes on :attr:`port`.

    ``before`` is called with what a client sends; False: it is not passed on. ``after``: the same, when the answer to
    it is there; False: the answer is not passed on.
    """

    def __init__(self, port: int, to: int) -> None:
        self.port = port
        self._to = to
        self.before: Callable[[bytes], bool] = lambda _: True
        self.after: Callable[[bytes], bool] = lambda _: True
        self._open: list[socket.socket] = []
        self._listener: socket.socket | None = None

    def __enter__(self) -> Self:
        self.come()
        return self

    def __exit__(self, *_: object) -> None:
        self.go()

    def come(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def go(self) -> None:
        """Nobody answers any more."""
        if self._listener is not None:
            # else the thread that accepts keeps it open
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.drop()

    def drop(self) -> None:
        """Ends every connection; new ones are taken."""
        while self._open:
            _end(self._open.pop())

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                client.close()  # as if nobody listened
                continue
            self._open += [client, server]
            if self._listener is not listener:
                _end(client)  # it went away meanwhile
                _end(server)
                continue
            said: list[bytes] = [b""]
            threading.Thread(target=self._pump, args=(client, server, said, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, said, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, said: list[bytes], is_client: bool) -> None:
        try:
            while data := source.recv(1 << 16):
                if is_client:
                    said[0] = data
                    if not self.before(data):
                        break
                elif not self.after(said[0]):
                    break
                sink.sendall(data)
        except OSError:
            _end(sink)  # it is over for both
        _end(source)
        _end(sink)


def _end(connection: socket.socket) -> None:
    """Ends it in both directions, also for a thread that reads from it."""
    if connection.fileno() >= 0:
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            connection.close()  # the other end was faster
        else:
            connection.close()
