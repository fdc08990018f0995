"""``wxcheck board``."""

from __future__ import annotations

from functools import partial

import click

#: seconds for which the store is waited for
STORE_SECONDS = 2


@click.command()
@click.option("--host", help="Where to listen; default: BOARD_HOST. Another than loopback needs BOARD_PASSWORD.")
@click.option("--port", type=click.IntRange(0, 65535), help="Default: BOARD_PORT; 0 takes a free one.")
def board(host: str | None, port: int | None) -> None:
    """Serves the board, a page that shows quotas, waiting checks, verdicts, failures and processes as they are now, and
    says first what is wrong; prints its URL and runs until Ctrl-C.

    Exit codes: 0 it was stopped, 1 its settings are wrong, 2 it cannot listen there.

    \b
    wxcheck board
    WXCHECK_BOARD_PASSWORD=… wxcheck board --host 0.0.0.0 --port 8070
    """
    from config.settings import load_settings

    said = {"board_host": host, "board_port": port}
    settings = load_settings("board", **{name: value for name, value in said.items() if value is not None})
    from config.redis_check import check_redis

    check_redis(settings, "board")
    from board.numbers import Numbers
    from board.server import serve
    from config.store import connect_store
    from worker.app import app
    from worker.presence import beat, leave, own_name
    from worker.reporter import Reporter
    from worker.servers import Servers
    from worker.statistics import Statistics

    store, name = connect_store(settings, STORE_SECONDS, retries=0), own_name()
    reporter = Reporter(
        Statistics(store), partial(beat, store, name, "board", Servers(settings)), partial(leave, store, name)
    )
    serve(settings, Numbers(settings, app, waits=False).read, reporter)
