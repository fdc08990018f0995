"""Prints tables, fields and JSON; colours and progress only on a terminal."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from status.words import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: colour of each verdict's ``suggest``
COLOURS = {"pass": "green", "review": "yellow", "risky": "red"}


def print_json(value: Any) -> None:
    """Print one line of JSON, at once even through a pipe."""
    click.echo(json.dumps(value, ensure_ascii=False))
    sys.stdout.flush()


def print_table(heads: list[str], rows: list[list[str]]) -> None:
    """Print a table on a terminal; elsewhere lines with tabs, for other programs. Nothing is cut off."""
    from rich.console import Console
    from rich.table import Column, Table

    # some cells hold words of the platform, which are text, however they look
    rows = [[printable(cell) for cell in row] for row in rows]
    console = Console(markup=False)
    if not console.is_terminal:
        for row in [heads, *rows]:
            click.echo("\t".join(row))
        return
    table = Table(*[Column(head, overflow="fold", no_wrap=number == 0) for number, head in enumerate(heads)])
    for row in rows:
        table.add_row(*row)
    console.print(table)


def print_fields(fields: Iterable[tuple[str, str]], indent: str = "") -> None:
    """A name and what it says on each line."""
    for name, said in fields:
        click.echo(f"{indent}{click.style(f'{name:<10}', bold=True)}  {said}")


@contextmanager
def spinner(doing: str) -> Iterator[None]:
    """Shows on a terminal what is being waited for, and for how long."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        progress.add_task(doing, total=None)
        yield


@contextmanager
def progress_of(doing: str, total: int) -> Iterator[Any]:
    """A function to be called after each of ``total`` steps; on a terminal it moves a bar."""
    if not sys.stderr.isatty() or total < 2:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(doing, total=total)
        yield lambda: progress.advance(bar)
