"""The process of the board, which runs until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

import click
import uvicorn

from callbacks.bounded_log import bound_lines
from callbacks.listening import AnnouncedServer, CannotListen, listen
from callbacks.protocol import Protocol
from config.log_lines import LogFormat, announce, use_lines
from config.logs import Log
from config.settings import PREFIX, Settings
from ops.board.app import create_app
from ops.board.latest import Read

if TYPE_CHECKING:
    from store.watch.reporter import Reporter

log = Log(__name__)

#: connections at one time; half of them may wait for their client (:mod:`callbacks.protocol`). Beyond, requests are
#: answered 503
MAX_CONNECTIONS = 500
#: connections that the kernel holds ready; the loop takes them all at once
BACKLOG = 100
#: seconds for which a connection may stay idle; a page asks each second
KEEP_ALIVE_SECONDS = 15
#: seconds that requests under way get at the end
GRACE_SECONDS = 5


def serve(settings: Settings, read: Read, reporter: Reporter | None = None) -> None:
    """Serve the board on ``BOARD_HOST`` and ``BOARD_PORT``, while ``reporter`` records that the board runs.

    The process ends with code 0 on SIGTERM or SIGINT, and with code 2 and a message if the board cannot listen.
    """
    listening = _listen(settings.board_host, settings.board_port)
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal again after it has stopped: this handler then ends the process with code 0
        signal.signal(number, _end)
    use_lines(settings.log_format, f"board@{socket.gethostname()}", logging.INFO)
    bound_lines()
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # board_starts tells of the start
    config = uvicorn.Config(
        create_app(settings, read),
        log_config=None,
        access_log=False,  # a line each second says nothing
        server_header=False,
        ws="none",
        limit_concurrency=MAX_CONNECTIONS,
        backlog=BACKLOG,
        http=Protocol,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    if reporter is not None:
        reporter.start()
    try:
        asyncio.run(AnnouncedServer(config, partial(_announce, settings.log_format)).serve([listening]))
    finally:
        if reporter is not None:
            reporter.stop()


def _announce(log_format: LogFormat, url: str) -> None:
    announce(log_format, log, "board_starts", f"board: {url}/", url=f"{url}/")


def _listen(host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except CannotListen as error:
        click.echo(
            f"wxcheck: the board {error}. "
            f"Is another one running? Choose another place: --port, {PREFIX}BOARD_PORT, {PREFIX}BOARD_HOST",
            err=True,
        )
        sys.exit(2)


def _end(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)
