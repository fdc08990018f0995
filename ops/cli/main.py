"""``wxcheck``: every command."""

from __future__ import annotations

import logging
from typing import Any

import click

from ops.cli.board import board
from ops.cli.check import check
from ops.cli.dead import dead, replay
from ops.cli.doctor import doctor
from ops.cli.exits import servers_answer
from ops.cli.local import demo, up
from ops.cli.push import push
from ops.cli.settings import config
from ops.cli.show import show
from ops.cli.status import status
from ops.cli.submit import submit
from ops.cli.waiting import cancel, pending


class Commands(click.Group):
    """Commands that end with one line if a server refuses or is away."""

    def invoke(self, ctx: click.Context) -> Any:
        with servers_answer():
            return super().invoke(ctx)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="wxcheck")
def main() -> None:
    """Checks users' content with WeChat's content-security APIs, on Celery.

    Settings come from environment variables named WXCHECK_… and from .env in this directory: see docs/settings.md.
    """
    # a command tells its faults itself; the log on the way is for processes that stay
    logging.getLogger("worker").addHandler(logging.NullHandler())


COMMANDS = (
    demo,
    up,
    check,
    submit,
    status,
    board,
    pending,
    show,
    cancel,
    dead,
    replay,
    push,
    doctor,
    config,
)
for command in COMMANDS:
    main.add_command(command)
