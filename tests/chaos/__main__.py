"""``make chaos``: every scenario at full scale; see ``docs/guarantees.md``."""

from __future__ import annotations

import multiprocessing
import secrets
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import click

from tests.chaos.outcome import Outcome
from tests.chaos.run import run_scenario
from tests.chaos.scenarios import FULL, SHORT, WEAKENED, Scale, scenarios_of
from tests.chaos.without import MECHANISMS
from tests.support.topology import NAMES

#: nothing is sent in most of their time, so they run side by side; each of the others keeps two cores busy
LONG = ("all", "redis")


@click.command()
@click.option("--seed", type=int, help="The one of an earlier run does the same at about the same moments.")
@click.option("--only", help="Names of scenarios, with commas between.")
@click.option(
    "--topology",
    type=click.Choice(NAMES, case_sensitive=False),
    default="one Redis",
    show_default=True,
    help="Where store, broker and results are.",
)
@click.option("--short", is_flag=True, help="As in make test.")
@click.option("--jobs", default=2, show_default=True, help="Long scenarios at a time, each on a Redis of its own.")
@click.option(
    "--without",
    multiple=True,
    type=click.Choice(["each", *MECHANISMS]),
    help="Switches a mechanism off, for the scenario that has to fail then; may be said again; each: all in turn.",
)
@click.option("--keep", type=click.Path(path_type=Path), help="Directory for the logs of all processes; kept.")
def main(
    seed: int | None,
    only: str | None,
    topology: str,
    short: bool,
    jobs: int,
    without: tuple[str, ...],
    keep: Path | None,
) -> None:
    """Kills, hangs and cuts off processes under load, and counts what was lost or done twice.

    Exits with 1 where a promise does not hold, and with --without where none is broken.
    """
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    click.echo(f"seed {seed}")
    with _directory(keep) as directory:
        if without:
            names = list(MECHANISMS) if "each" in without else list(without)
            sys.exit(_weakened(names, only, seed, jobs, directory))
        names = only.split(",") if only else scenarios_of(topology)
        long = [(name, name, None) for name in names if name in LONG]
        others = [(name, name, None) for name in names if name not in LONG]
        outcomes, held = [], True
        for runs, at_once in ((long, jobs), (others, 1)):
            for run, outcome in _outcomes(runs, SHORT if short else FULL, seed, at_once, directory, topology):
                held &= _told(run, outcome)
                if isinstance(outcome, Outcome):
                    outcomes.append(outcome)
    click.echo("\n".join([Outcome.HEAD, *(outcome.row() for outcome in outcomes)]))
    click.echo("all holds" if held else "NOT ALL HOLDS")
    sys.exit(0 if held else 1)


def _weakened(names: list[str], only: str | None, seed: int, jobs: int, directory: Path) -> int:
    """Runs scenarios without mechanisms; the exit code."""
    runs = []
    for name in names:
        scenarios = only.split(",") if only else MECHANISMS[name].fail
        runs += [(f"{name}-{scenario}", scenario, name) for scenario in scenarios]
    as_expected = True
    for run, outcome in _outcomes(runs, WEAKENED, seed, jobs, directory):
        _, _, without = run
        click.echo(f"without {without}:")
        as_expected &= _told(run, outcome) == (without == "nothing") and isinstance(outcome, Outcome)
    click.echo("each was missed" if as_expected else "NOT AS EXPECTED")
    return 0 if as_expected else 1


def _told(run: tuple[str, str, str | None], outcome: Outcome | Exception) -> bool:
    """Tells how a run ended; True if all of its promises hold."""
    if isinstance(outcome, Exception):
        click.echo(f"scenario {run[1]} did not end: {type(outcome).__name__}: {outcome}")
        return False
    click.echo(outcome.told())
    return outcome.holds


def _outcomes(
    runs: Sequence[tuple[str, str, str | None]],
    scale: Scale,
    seed: int,
    jobs: int,
    directory: Path,
    topology: str = "one Redis",
) -> Iterator[tuple[tuple[str, str, str | None], Outcome | Exception]]:
    """Runs each of (name of its directory, scenario, what it lacks), and yields it when it is over.

    An exception stands for a run that has none: one that did not end keeps no other from being told.
    """
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        begun = {}
        for run in runs:
            place, scenario, without = run
            (directory / place).mkdir(parents=True)
            size = scale._replace(**MECHANISMS[without].scale) if without else scale
            begun[pool.submit(run_scenario, scenario, size, seed, directory / place, without, topology)] = run
        for future in as_completed(begun):
            error = future.exception()
            if error is not None and not isinstance(error, Exception):
                raise error
            yield begun[future], error or future.result()


@contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        yield Path(temporary)


if __name__ == "__main__":
    main()
