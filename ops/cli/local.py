"""``wxcheck demo`` and ``wxcheck up``: everything on this machine."""

from __future__ import annotations

import sys

import click


@click.command()
def demo() -> None:
    """Sends checks through real chains on this machine, against the sandbox, and prints what became of each.

    \b
    wxcheck demo
    """
    from ops.local.demo import run_demo

    sys.exit(run_demo())


@click.command()
def up() -> None:
    """Runs everything on this machine until Ctrl-C: worker, endpoint and Flower.

    Against the real platform where WXCHECK_APPID or WXCHECK_APPS is set, else against the sandbox, and says which at
    once; with a Redis of its own where WXCHECK_REDIS_URL is not set. .env of this directory is read.

    \b
    wxcheck up
    WXCHECK_REDIS_URL=redis://127.0.0.1:6379/0 wxcheck up
    """
    from ops.local.up import run_up

    sys.exit(run_up())
