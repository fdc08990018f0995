"""``wxcheck push listen``: shows what arrives at a push URL."""

from __future__ import annotations

import json
import socket
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING

import click

from ops.cli import options
from ops.cli.app import program_of
from ops.cli.exits import NO, WELL, fail
from ops.output import print_fields, print_json
from status.words import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ops.cli.arrival import Arrival


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=8088, show_default=True, help="0: any that is free.")
@click.option("--appid", help="Whose pushes they are where the path does not say, if not the default Mini Program's.")
@click.option("--once", is_flag=True, help="End after the first request: exit code 0 if it is good, 1 if not.")
@click.option("--timeout", type=options.seconds_of, metavar="TIME", help="End after that time: 60s, 10m.")
@options.as_json
def listen(host: str, port: int, appid: str | None, once: bool, timeout: float | None, as_json: bool) -> None:
    """Shows what arrives at a push URL: whether the signature holds, mode, format, event, appId, trace_id, all fields;
    verified and decrypted with the Token and key of these settings. Answers as the endpoint would, and says what is
    wrong with its remedy. Nothing is written to a file, and nothing goes to the queue: a verdict that arrives here
    does not end its check.

    Exit codes: 0 stopped, or with --once a good request; 1 with --once, a request that is refused; 2 nothing came
    within --timeout, or the port is taken.

    \b
    wxcheck push listen
    wxcheck push listen --port 8080 --once --timeout 10m
    wxcheck push listen --json | jq -c '{event, trace_id, said}'
    """
    from config.settings import load_settings
    from ops.cli.listener import PATH, Listener

    settings = load_settings("endpoint")
    if appid is not None:
        program_of(settings, appid)

    def show(method: str, path: str, client: str, arrival: Arrival) -> None:
        if as_json:
            print_json({"at": round(time.time(), 3), "method": method, "path": path, **arrival._asdict()})
        else:
            _show(method, path, client, arrival)

    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.create_server((host, port), family=family)
    except OSError as error:
        why = str(error.strerror).partition(" (")[0]
        fail(f"cannot listen on {host}, port {port}: {why}; choose another with --port")
    shown = f"[{host}]" if ":" in host else host
    click.echo(f"push listen: http://{shown}:{sock.getsockname()[1]}{PATH}, until Ctrl-C", err=True)
    listener = Listener(settings, appid, show, once=once)
    listener.run(sock, timeout)
    if listener.last is None:
        fail("nothing came: does the push URL, its DNS, proxy and firewall lead here?")
    sys.exit(NO if once and not listener.last.well else WELL)


def _show(method: str, path: str, client: str, arrival: Arrival) -> None:
    """Return several lines for one request."""
    at = datetime.now().astimezone().strftime("%H:%M:%S")
    click.echo(f"{at}  {click.style(f'{method} {printable(path)}', bold=True)}  from {client}")
    print_fields(_fields(arrival), indent="  ")
    sys.stdout.flush()


def _fields(arrival: Arrival) -> Iterator[tuple[str, str]]:
    from ops.cli.arrival import is_fresh

    if arrival.signature is not None:
        yield "signature", click.style(arrival.signature, fg="green" if arrival.signature == "right" else "red")
    if arrival.age is not None:
        fresh = "" if is_fresh(arrival.age) else click.style("  stale", fg="red")
        yield "timestamp", f"{arrival.age:.0f} s old{fresh}"
    if arrival.mode is not None:
        yield "mode", f"{arrival.mode}, {arrival.format}"
    for name, said in (("appId", arrival.appid), ("event", arrival.event), ("trace_id", arrival.trace_id)):
        if said:
            yield name, printable(said)
    yield "says", arrival.said if arrival.well else click.style(arrival.said, fg="red")
    if arrival.remedy:
        yield "remedy", arrival.remedy
    yield "answered", f"{arrival.status} {printable(arrival.answer)}"
    for name, value in (arrival.message or {}).items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield "field", printable(f"{name} = {text}")
