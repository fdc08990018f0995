"""``wxcheck status``: the board's numbers in the terminal."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from ops.cli import options
from ops.cli.app import celery_app
from ops.cli.exits import NO, WELL, store_answers, store_away
from ops.output import print_json
from status.words import lang_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from status.words import Lang


@click.command()
@click.option("--watch", is_flag=True, help="Again and again, until Ctrl-C.")
@click.option(
    "--interval", type=click.FloatRange(min=0.2), default=2.0, show_default=True, help="Seconds between two looks."
)
@click.option(
    "--lang", type=lang_of, envvar=["LC_ALL", "LC_MESSAGES", "LANG"], default="en", metavar="en|zh", help="By LANG."
)
@options.as_json
def status(watch: bool, interval: float, lang: Lang, as_json: bool) -> None:
    """Says what is wrong, with its remedy, or that all is well; then, for each appId and lane, this minute's and this
    day's use of the quota and the last hour; how many checks are in each place; queues, pushes, verdicts, failures,
    processes.

    Exit codes: 0 all is well, or nothing but warnings; 1 something is wrong; 2 the store does not answer.

    \b
    wxcheck status
    wxcheck status --watch --lang zh
    wxcheck status --json | jq -r '.troubles[].said.en'
    """
    read = reader()
    if watch:
        _watch(read, interval, lang, as_json=as_json)
    with store_answers():
        numbers = read()
    if as_json:
        print_json(numbers)
    else:
        _print(numbers, lang)
    sys.exit(code_of(numbers))


def reader() -> Callable[[], dict[str, Any]]:
    """Return the reader of the numbers."""
    from config.settings import load_settings
    from status.numbers import Numbers

    read: Callable[[], dict[str, Any]] = Numbers(load_settings(), celery_app()).read
    return read


def code_of(numbers: dict[str, Any]) -> int:
    """Return the exit code for ``numbers``."""
    return NO if any(trouble["level"] == "bad" for trouble in numbers["troubles"]) else WELL


def _print(numbers: dict[str, Any], lang: Lang) -> None:
    from rich.console import Console

    from ops.cli.status_view import lines

    console = Console(highlight=False)
    for line in lines(numbers, lang):
        # a line stays a line in a file or a pipe
        console.print(line, soft_wrap=not console.is_terminal)


def _watch(read: Callable[[], dict[str, Any]], interval: float, lang: Lang, *, as_json: bool) -> None:
    """Show the numbers until Ctrl-C; tell of a store that goes away, and wait for it."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    from ops.cli.status_view import lines
    from store.connection import STORE_AWAY

    console = Console(highlight=False)
    on_screen = console.is_terminal and not as_json
    try:
        with (
            Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop")
            if on_screen
            else nullcontext() as live
        ):
            while True:
                try:
                    numbers = read()
                except STORE_AWAY as error:
                    if live is None:
                        click.echo(f"wxcheck: {store_away(error)}", err=True)
                    else:
                        live.update(Text(store_away(error), "bold red"), refresh=True)
                else:
                    if live is not None:
                        live.update(Group(*lines(numbers, lang)), refresh=True)
                    elif as_json:
                        print_json(numbers)
                    else:
                        _print(numbers, lang)
                        click.echo()
                time.sleep(interval)
    except KeyboardInterrupt:
        sys.exit(WELL)
