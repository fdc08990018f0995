"""``python -m callbacks``: the endpoint on CALLBACK_HOST and CALLBACK_PORT, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
import sys
from functools import partial
from types import FrameType

import click
import uvicorn
import uvloop

from callbacks.app import create_app
from callbacks.bounded_log import bound_lines
from callbacks.listening import AnnouncedServer, CannotListen, listen
from callbacks.probe import PROBE_SECONDS
from callbacks.protocol import Protocol
from config.log_lines import LogFormat, announce, use_lines
from config.logs import Log
from config.settings import load_settings
from store.connection import connect
from store.redis_check import check_redis

log = Log("callbacks.main")

#: connections at one time; half of them may wait for their client (:mod:`callbacks.protocol`). Further requests get 503
MAX_CONNECTIONS = 2000
#: connections that the kernel holds ready; the loop takes them all at once
BACKLOG = 256
#: descriptors beside the connections' own
OTHER_FILES = 200
#: seconds for which a connection may stay idle
KEEP_ALIVE_SECONDS = 5
#: seconds at the end for requests under way: 10 for a slow body, 3 for a publish, and a reserve
GRACE_SECONDS = 15


@click.command()
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
def main(log_level: str) -> None:
    """Take WeChat's message push and put the verdicts of media checks on the queue."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal again after its stop: this handler then ends the process with code 0
        signal.signal(number, _end)
    settings = load_settings("endpoint")
    # at DEBUG, libraries write the content that they send and receive
    libraries = max(logging.INFO, logging.getLevelNamesMapping()[log_level.upper()])
    use_lines(settings.log_format, f"endpoint@{socket.gethostname()}", libraries)
    bound_lines()
    logging.getLogger("callbacks").setLevel(log_level.upper())
    check_redis(settings, "endpoint")
    try:
        listening = listen(settings.callback_host, settings.callback_port)
    except CannotListen as error:
        mend = "end what listens there, or set WXCHECK_CALLBACK_PORT (or WXCHECK_CALLBACK_HOST) to another"
        click.echo(f"callbacks: {error}; {mend}", err=True)
        sys.exit(2)
    connections = allowed_connections()
    from status.cluster_metrics import cluster_metrics
    from status.numbers import Numbers
    from store.watch.counters import counted
    from store.watch.presence import beat, leave, own_name
    from store.watch.reporter import Reporter
    from store.watch.servers import Servers
    from store.watch.statistics import Statistics
    from worker.celery import app as celery_app  # after the settings, whose faults the endpoint reports

    store = connect(settings.redis_url, PROBE_SECONDS, retries=0)
    name = own_name()
    reporter = Reporter(
        Statistics(store), partial(beat, store, name, "endpoint", Servers(settings)), partial(leave, store, name)
    )
    numbers = Numbers(settings, celery_app, waits=False)
    config = uvicorn.Config(
        create_app(settings, celery_app, partial(cluster_metrics, partial(counted, store), numbers), reporter),
        host=settings.callback_host,
        port=settings.callback_port,
        log_config=None,
        access_log=False,  # access lines hold the query, and so the signatures
        server_header=False,
        ws="none",
        limit_concurrency=connections,
        backlog=BACKLOG,
        http=Protocol,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(AnnouncedServer(config, partial(_announce, settings.log_format)).serve([listening]))


def _announce(log_format: LogFormat, url: str) -> None:
    announce(log_format, log, "endpoint_starts", f"callbacks: listening on {url}", url=url)


def allowed_connections() -> int:
    """Return ``MAX_CONNECTIONS``, or fewer if the process may not have the descriptors; raise its soft limit first."""
    others = OTHER_FILES + BACKLOG
    wanted = MAX_CONNECTIONS + others
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    if allowed != resource.RLIM_INFINITY and allowed < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    if wanted < MAX_CONNECTIONS + others:
        connections = max(wanted - others, wanted // 4)
        said = f"{connections} connections at one time, for only {wanted} files may be open (ulimit -n)"
        log.warning("few_files", said)
        return connections
    return MAX_CONNECTIONS


def _end(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main()
