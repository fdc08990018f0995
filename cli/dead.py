"""``wxcheck dead`` and ``wxcheck replay``: the checks that failed for a reason that can be mended."""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING

import click

from cli.exits import COULD_NOT, WELL, store_answers
from cli.output import moment, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.dead_letters import DeadLetter


@click.command()
@click.option("--failure", help="Only those that failed so, by the name of the class: PushTimeout.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="The newest ones.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def dead(failure: str | None, limit: int, as_json: bool) -> None:
    """Lists the checks that failed for a reason that can be mended: WeChat was away, a push never came, a file could
    not be fetched, the appId was refused. They are kept for DEAD_LETTER_DAYS; wxcheck replay runs them again.

    \b
    wxcheck dead
    wxcheck dead --failure PushTimeout --json
    """
    letters = list(itertools.islice(_dead_letters(failure), limit))
    if as_json:
        print_json([letter._asdict() for letter in letters])
        return
    if not letters:
        click.echo("No check waits to be replayed.")
        return
    rows = []
    for letter in letters:
        said = ", ".join(map(str, letter.said))
        state = "yes" if letter.has_content else "no, its content was not kept"
        rows.append(
            [letter.task_id, letter.failure, said, moment(letter.failed_at), letter.appid or "-", letter.task, state]
        )
    print_table(["task id", "failure", "said", "at", "appId", "task", "replayable"], rows)


@click.command()
@click.argument("task_ids", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All that wxcheck dead lists.")
@click.option("--failure", help="All that failed so, by the name of the class: PushTimeout.")
@click.option("--dry-run", is_flag=True, help="Only say which.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def replay(task_ids: tuple[str, ...], every: bool, failure: str | None, dry_run: bool, yes: bool) -> None:
    """Runs failed checks again under their task ids, each once, with chain, links and callbacks. What their failure has
    set going (errbacks, a failed chord) is not taken back. Each costs calls of the quota.

    Exit codes: 0 all are on their way, 2 some were not there, or their content was not kept.

    \b
    wxcheck replay 3f0c…
    wxcheck replay --failure PlatformUnavailable --dry-run
    wxcheck replay --all --yes
    """
    from worker.runtime import runtime

    if bool(task_ids) + every + (failure is not None) != 1:
        raise click.UsageError("say which: task ids, --failure NAME, or --all")
    chosen = list(task_ids) or [letter.task_id for letter in _dead_letters(failure) if letter.has_content]
    if dry_run or not chosen:
        for task_id in chosen:
            click.echo(task_id)
        click.echo(f"{len(chosen)} would be replayed." if dry_run else "No check waits to be replayed.")
        return
    if not yes:
        click.confirm(f"Replay {len(chosen)} checks?", abort=True)
    missing = 0
    with store_answers():
        for task_id in chosen:
            if not runtime().dead_letters.replay(task_id):
                missing += 1
                click.echo(f"wxcheck: {task_id} is not there, or its content was not kept: see wxcheck dead", err=True)
    click.echo(f"{len(chosen) - missing} are on their way.")
    sys.exit(COULD_NOT if missing else WELL)


def _dead_letters(failure: str | None) -> Iterator[DeadLetter]:
    from worker.runtime import runtime

    with store_answers():
        for letter in runtime().dead_letters.letters():
            if failure is None or letter.failure == failure:
                yield letter
