"""The question before a step that cannot be taken back."""

from __future__ import annotations

import sys

import click

from ops.cli.exits import fail


def ask(question: str, *, yes: bool) -> None:
    """Ask, unless ``yes``. The command ends with exit code 1 on a no, and with 2 if nobody is there to answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail(f"not done, for nobody is at a terminal to answer: {question} Say --yes, or look with --dry-run first")
    click.confirm(question, abort=True)
