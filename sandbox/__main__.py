"""``python -m sandbox``: runs the stand-in platform until SIGTERM or SIGINT."""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
from typing import Any, NoReturn
from urllib.parse import urlsplit

import click
import uvicorn

from config.log_lines import announce, use_lines
from config.logs import Log
from config.settings import Settings, load_settings
from sandbox.app import make_app
from sandbox.credentials import programs_of
from sandbox.options import OptionError, Options, parse_option
from sandbox.state import State
from sandbox.transport import Protocol

log = Log("sandbox.main")

DEFAULT_PORT = 8090
_BACKLOG = 1024


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help=f"0 takes a free one. Default: that of WXCHECK_API_BASE where it is on this machine, else {DEFAULT_PORT}.",
)
@click.option(
    "--push-url", help="Where pushes go; the default Mini Program's, others get /appid behind it, or {appid}."
)
@click.option("--allow-remote", is_flag=True, help="Listen beyond this machine. Anyone who can connect controls it.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="See docs/sandbox.md; repeatable.")
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="warning", show_default=True
)
def main(
    host: str, port: int | None, push_url: str | None, allow_remote: bool, options: tuple[str, ...], log_level: str
) -> None:
    """A stand-in for the WeChat platform: tokens, content checks, quotas, faults, pushes."""
    if not allow_remote and not is_loopback(host):
        raise click.UsageError(f"--host {host} is reachable from other machines; add --allow-remote if you mean it")
    settings = load_settings("any")
    programs, default_appid, demo = programs_of(settings)
    base = push_url or f"http://{settings.callback_host}:{settings.callback_port}/wechat/push"
    if urlsplit(base).scheme not in ("http", "https"):
        raise click.UsageError(f"--push-url {base} is no http(s) URL")
    urls = {appid: push_url_of(base, appid, default_appid) for appid in programs}
    try:
        state = State(programs, default_appid, urls, Options().changed(dict(map(parse_option, options))))
    except OptionError as error:
        raise click.UsageError(str(error)) from None

    use_lines(settings.log_format, f"sandbox@{socket.gethostname()}", logging.getLevelNamesMapping()[log_level.upper()])
    logging.getLogger("urllib3").setLevel("WARNING")  # its records at DEBUG have URLs with their signatures
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)  # uvicorn raises both again after its shutdown
    listener = _listen(host, default_port(settings) if port is None else port)
    url = _url(listener)
    announce(settings.log_format, log, "sandbox_starts", f"sandbox listening on {url}", url=url)
    if demo:
        told = f"no Mini Program is configured: taking the demonstration's, {default_appid} (docs/sandbox.md)"
        announce(settings.log_format, log, "demonstration_program", told, appid=default_appid)
    for appid, url in urls.items():
        told = url if programs[appid].push_token else "nowhere, it has no push_token"
        announce(settings.log_format, log, "push_url", f"pushes for {appid} go to {told}", appid=appid)
    config = uvicorn.Config(
        make_app(state),
        http=Protocol,
        ws="none",
        log_config=None,
        log_level=log_level,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run(sockets=[listener])


def is_loopback(host: str) -> bool:
    """True if only this machine reaches ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def default_port(settings: Settings) -> int:
    """Return the port of the platform in the workers' settings, if that platform is on this machine; else None."""
    parts = urlsplit(settings.api_base)
    if parts.scheme != "http" or not is_loopback(parts.hostname or ""):
        return DEFAULT_PORT
    return parts.port or 80


def push_url_of(base: str, appid: str, default_appid: str | None) -> str:
    """The message-push URL of ``appid``: ``base`` for the default one, which may hold ``{appid}``."""
    if "{appid}" in base:
        return base.replace("{appid}", appid)
    return base if appid == default_appid else f"{base.rstrip('/')}/{appid}"


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only for a named protocol; without TCP_NODELAY each answer waits 40 ms for an ACK
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host} port {port}: {error.strerror}") from None
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _stop(*_: Any) -> NoReturn:
    raise SystemExit(0)


if __name__ == "__main__":
    main()
