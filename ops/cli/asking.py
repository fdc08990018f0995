"""Asks before something is done that cannot be taken back."""

from __future__ import annotations

import sys

import click

from ops.cli.exits import fail


def ask(question: str, *, yes: bool) -> None:
    """Goes on where the answer is yes; ends the command with exit code 1 where it is no, and with 2 where nobody is
    there to answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail(f"not done, for nobody is at a terminal to answer: {question} Say --yes, or look with --dry-run first")
    click.confirm(question, abort=True)
