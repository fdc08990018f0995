"""``wxcheck board``."""

from __future__ import annotations

from functools import partial

import click

#: most seconds to wait for the store
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
    from store.redis_check import check_redis

    check_redis(settings, "board")
    from ops.board.server import serve
    from status.numbers import Numbers
    from store.connection import connect
    from store.watch.presence import beat, leave, own_name
    from store.watch.reporter import Reporter
    from store.watch.servers import Servers
    from store.watch.statistics import Statistics
    from worker.celery import app

    store, name = connect(settings.redis_url, STORE_SECONDS, retries=0), own_name()
    reporter = Reporter(
        Statistics(store), partial(beat, store, name, "board", Servers(settings)), partial(leave, store, name)
    )
    serve(settings, Numbers(settings, app, waits=False).read, reporter)
