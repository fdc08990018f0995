"""What commands print: tables, JSON, times."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import click


def print_json(value: Any) -> None:
    """One line of JSON."""
    click.echo(json.dumps(value, ensure_ascii=False))


def print_table(heads: list[str], rows: list[list[str]]) -> None:
    """A table in a terminal; elsewhere lines with tabs, for other programs. Nothing is cut off."""
    from rich.console import Console
    from rich.table import Column, Table

    console = Console()
    if not console.is_terminal:
        for row in [heads, *rows]:
            click.echo("\t".join(row))
        return
    table = Table(*[Column(head, overflow="fold", no_wrap=number == 0) for number, head in enumerate(heads)])
    for row in rows:
        table.add_row(*row)
    console.print(table)


def moment(at: float) -> str:
    """Seconds since the epoch as date and time here: ``2025-11-26 20:00:00+08:00``."""
    return datetime.fromtimestamp(at).astimezone().isoformat(" ", "seconds")
