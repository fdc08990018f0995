"""``wxcheck dead``, ``wxcheck dead drop`` and ``wxcheck replay``: the checks that failed for a reason that can be
mended."""

from __future__ import annotations

import itertools
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click

from ops.cli import options
from ops.cli.app import must_exist
from ops.cli.asking import ask
from ops.cli.exits import COULD_NOT, WELL, store_answers
from ops.output import print_json, print_table, progress_of
from status.words import moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from store.dead_letters.dead_letters import DeadLetter

#: classes of failures that are kept (``can_be_mended`` in :mod:`store.dead_letters`, which is slow to import)
KEPT = ("CheckRefused", "MediaUnavailable", "PlatformUnavailable", "PushTimeout")
_failure = click.option(
    "--failure", type=click.Choice(KEPT), metavar="NAME", help="Only those that failed so, by class: PushTimeout."
)
_which = [_failure, options.appid, options.older_than, options.newer_than]


class Filter(NamedTuple):
    """A choice of letters: all that meet each condition."""

    failure: str | None
    appid: str | None
    #: seconds since the failure
    older_than: float | None
    newer_than: float | None

    @property
    def says_something(self) -> bool:
        return any(value is not None for value in self)

    def fits(self, letter: DeadLetter, now: float) -> bool:
        age = now - letter.failed_at
        return (
            self.failure in (None, letter.failure)
            and self.appid in (None, letter.appid)
            and (self.older_than is None or age >= self.older_than)
            and (self.newer_than is None or age < self.newer_than)
        )


def _filtered(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_which):
        command = option(command)
    return command


@click.group(invoke_without_command=True)
@_filtered
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="The newest ones.")
@options.as_json
@click.pass_context
def dead(ctx: click.Context, /, limit: int, as_json: bool, **which: Any) -> None:
    """Lists the checks that failed for a reason that can be mended: WeChat was away, a push never came, a file could
    not be fetched, the appId was refused. They are kept for DEAD_LETTER_DAYS; wxcheck replay runs them again, wxcheck
    dead drop throws them away.

    Exit codes: 0 listed, 2 the store does not answer.

    \b
    wxcheck dead
    wxcheck dead --failure PushTimeout --newer-than 2h --json
    wxcheck dead drop --older-than 3d --dry-run
    """
    if ctx.invoked_subcommand is not None:
        if Filter(**which).says_something or as_json:
            raise click.UsageError("say options after drop: wxcheck dead drop --failure NAME")
        return
    letters = list(itertools.islice(_letters(Filter(**which)), limit))
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
        at = moment(letter.failed_at)
        rows.append([letter.task_id, letter.failure, said, at, letter.appid or "-", letter.task, state])
    print_table(["task id", "failure", "said", "at", "appId", "task", "replayable"], rows)


@dead.command()
@click.argument("task_ids", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All that wxcheck dead lists.")
@_filtered
@options.dry_run
@options.yes
@options.as_json
def drop(task_ids: tuple[str, ...], every: bool, dry_run: bool, yes: bool, as_json: bool, **which: Any) -> None:
    """Throws failed checks away: they can no longer be replayed. Their failure stays what it was.

    Exit codes: 0 all are gone, 1 you said no, 2 some were not there, or the store does not answer.

    \b
    wxcheck dead drop 3f0c…
    wxcheck dead drop --failure MediaUnavailable --older-than 3d --dry-run
    wxcheck dead drop --all --yes
    """
    from worker.runtime import runtime

    chosen = _chosen(task_ids, every, Filter(**which), replayable=False)
    if dry_run or not chosen:
        _print_chosen(chosen, "dropped", dry_run=dry_run, as_json=as_json)
        return
    ask(f"Throw {_count(chosen)} away? They cannot be replayed then.", yes=yes)
    missing = _for_each(chosen, runtime().dead_letters.drop, "dropping")
    _end("dropped", "are gone", "is not there", chosen, missing, as_json=as_json)


@click.command()
@click.argument("task_ids", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All that wxcheck dead lists.")
@_filtered
@options.dry_run
@options.yes
@options.as_json
def replay(task_ids: tuple[str, ...], every: bool, dry_run: bool, yes: bool, as_json: bool, **which: Any) -> None:
    """Runs failed checks again under their task ids, each once, with chain, links and callbacks. What their failure has
    set going (errbacks, a failed chord) is not taken back. Each costs calls of the quota.

    Exit codes: 0 all are on their way, 1 you said no, 2 some were not there, or their content was not kept.

    \b
    wxcheck replay 3f0c…
    wxcheck replay --failure PlatformUnavailable --newer-than 2h --dry-run
    wxcheck replay --all --yes
    """
    from worker.intake.replay import replay as replay_letter
    from worker.runtime import runtime

    chosen = _chosen(task_ids, every, Filter(**which), replayable=True)
    if dry_run or not chosen:
        _print_chosen(chosen, "replayed", dry_run=dry_run, as_json=as_json)
        return
    ask(f"Replay {_count(chosen)}?", yes=yes)
    missing = _for_each(chosen, partial(replay_letter, runtime()), "replaying")
    _end("replayed", "are on their way", "is not there, or its content was not kept", chosen, missing, as_json=as_json)


def _chosen(task_ids: tuple[str, ...], every: bool, which: Filter, *, replayable: bool) -> list[str]:
    if bool(task_ids) + every + which.says_something != 1:
        raise click.UsageError(
            "say which: task ids; --failure NAME, --appid APPID, --older-than TIME and --newer-than TIME; or --all"
        )
    # chosen by its id: a letter that is gone, or not whole, is told at its turn
    return list(task_ids) or [letter.task_id for letter in _letters(which) if letter.has_content or not replayable]


def _print_chosen(chosen: list[str], done: str, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json({f"would_be_{done}": chosen} if dry_run else {done: [], "missing": []})
        return
    for task_id in chosen:
        click.echo(task_id)
    click.echo(f"{len(chosen)} would be {done}." if dry_run else "No check waits to be replayed.")


def _for_each(task_ids: list[str], act: Callable[[str], bool], doing: str) -> list[str]:
    """Return the letters for which ``act`` had nothing to do."""
    missing = []
    with store_answers(), progress_of(doing, len(task_ids)) as advance:
        for task_id in task_ids:
            if not act(task_id):
                missing.append(task_id)
            advance()
    return missing


def _count(chosen: list[str]) -> str:
    return "1 check" if len(chosen) == 1 else f"{len(chosen)} checks"


def _letters(which: Filter) -> Iterator[DeadLetter]:
    from worker.runtime import runtime

    now, seen = time.time(), set()
    with store_answers():
        must_exist(which.appid)
        for letter in runtime().dead_letters.letters():
            # a new letter moves the others down meanwhile, so one of them is read twice
            if letter.task_id not in seen and which.fits(letter, now):
                seen.add(letter.task_id)
                yield letter


def _end(done: str, said: str, lacking: str, chosen: list[str], missing: list[str], *, as_json: bool) -> NoReturn:
    """Print what became of the chosen letters. End the command with the exit code for the missing ones."""
    if as_json:
        print_json({done: [task_id for task_id in chosen if task_id not in missing], "missing": missing})
    else:
        click.echo(f"{len(chosen) - len(missing)} {said}.")
    for task_id in missing:
        click.echo(f"wxcheck: {task_id} {lacking}: see wxcheck dead", err=True)
    sys.exit(COULD_NOT if missing else WELL)
