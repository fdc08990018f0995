"""``make chaos``: every scenario at full scale; see ``docs/guarantees.md``."""

from __future__ import annotations

import secrets
import sys
import tempfile
from pathlib import Path

import click

from tests.chaos.run import run_scenario
from tests.chaos.scenarios import FULL, SCENARIOS, SHORT


@click.command()
@click.option("--seed", type=int, help="The one of an earlier run does the same at about the same moments.")
@click.option("--only", help="Names of scenarios, with commas between.")
@click.option("--short", is_flag=True, help="As in make test.")
@click.option("--keep", type=click.Path(path_type=Path), help="Directory for the logs of all processes; kept.")
def main(seed: int | None, only: str | None, short: bool, keep: Path | None) -> None:
    """Kills, hangs and cuts off processes under load, and counts what was lost or done twice."""
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    click.echo(f"seed {seed}")
    held = True
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        for name in only.split(",") if only else SCENARIOS:
            directory = (keep or Path(temporary)) / name
            directory.mkdir(parents=True)
            outcome = run_scenario(name, SHORT if short else FULL, seed, directory)
            click.echo(outcome.told())
            held &= outcome.holds
    click.echo("all holds" if held else "NOT ALL HOLDS")
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
