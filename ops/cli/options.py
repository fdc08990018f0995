"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import re

import click

from config.days import DAY

_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)", re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": DAY}


def seconds_of(value: str) -> float:
    """A time in seconds, given as ``90``, ``90s``, ``10m``, ``2h`` or ``7d``."""
    found = _DURATION.fullmatch(value.strip())
    if found is None:
        raise click.BadParameter(f"{value!r} is no time: 90s, 10m, 2h, 7d")
    return float(found[1]) * _SECONDS[found[2]]


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
yes = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
dry_run = click.option("--dry-run", is_flag=True, help="Only say which; change nothing.")
appid = click.option("--appid", help="Only those of this Mini Program.")
older_than = click.option("--older-than", type=seconds_of, metavar="TIME", help="Only those since so long: 10m, 2h.")
newer_than = click.option("--newer-than", type=seconds_of, metavar="TIME", help="Only those since less than that.")
