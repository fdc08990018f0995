"""``wxcheck pending``: the media checks that wait for their push; ``wxcheck cancel``: the end of checks that wait."""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ops.cli import options
from ops.cli.app import must_exist
from ops.cli.asking import ask
from ops.cli.exits import COULD_NOT, WELL, store_answers
from ops.output import print_json, print_table, progress_of
from status.words import duration, moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.lanes import Lane
    from store.places.census import Waiting

#: places in which a check waits
WAITS = ("lane", "shelf", "parked")


class Wait(NamedTuple):
    """A check that has not ended, and the seconds since it was parked."""

    check: Waiting
    waited: float
    #: seconds until it times out, if it is parked
    left: float | None


class Cancelled(NamedTuple):
    """What became of checks that were to be cancelled: task ids."""

    cancelled: list[str]
    #: they end as cancelled where they would wait again
    in_hand: list[str]
    #: they have ended, or are not here
    not_waiting: list[str]


@click.command()
@options.appid
@options.older_than
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="The next ones to end.")
@options.as_json
def pending(appid: str | None, older_than: float | None, limit: int, as_json: bool) -> None:
    """Lists the media checks that wait for their push, the next one to time out first.

    Places: parked (it waits for its push), ready (what ended the wait is there, a worker is about to say so).

    Exit codes: 0 listed, 2 the store does not answer.

    \b
    wxcheck pending
    wxcheck pending --older-than 10m --appid wx0123456789abcdef
    wxcheck pending --json | jq -r '.[].task_id'
    """
    with store_answers():
        must_exist(appid)
        waits = list(islice(_waits(appid, older_than), limit))
    if as_json:
        print_json([_json(wait) for wait in waits])
        return
    if not waits:
        click.echo("No check waits for its push." if appid is None and older_than is None else "No check waits so.")
        return
    rows = [
        [
            wait.check.task_id,
            wait.check.place,
            duration(wait.waited),
            "-" if wait.left is None else f"in {duration(wait.left)}, {moment(wait.check.due)}",
            wait.check.appid,
            wait.check.trace_id,
        ]
        for wait in waits
    ]
    print_table(["task id", "place", "waited", "times out", "appId", "trace_id"], rows)


@click.command()
@click.argument("task_ids", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All that wait for their push.")
@click.option(
    "--lane",
    type=click.Choice(["text", "media"]),
    help="All that wait for a permit, or will.",
)
@options.appid
@options.older_than
@options.dry_run
@options.yes
@options.as_json
def cancel(
    task_ids: tuple[str, ...],
    every: bool,
    lane: Lane | None,
    appid: str | None,
    older_than: float | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Ends checks with CheckCancelled, wherever they wait: their errbacks run. Calls to the platform stay spent.

    By task id: in a lane, on the shelf, or parked. By --lane, of one appId or of all: those that wait for their call.
    By appId and age, or --all: those that wait for their push. One in the inbox is not here before a worker has read
    it, and one in a worker's hands ends as cancelled if it would wait again.

    Exit codes: 0 all are cancelled, 1 you said no, 2 some did not wait, or the store does not answer.

    \b
    wxcheck cancel 3f0c…
    wxcheck cancel --lane text --appid wx0123456789abcdef
    wxcheck cancel --older-than 20m --appid wx0123456789abcdef --dry-run
    wxcheck cancel --all --yes
    """
    by_filter = lane is not None or appid is not None or older_than is not None
    if bool(task_ids) + every + by_filter != 1:
        raise click.UsageError("say which: task ids, --lane LANE, --older-than TIME and --appid APPID, or --all")
    if lane is not None and older_than is not None:
        raise click.UsageError("--older-than is for checks that wait for their push; say --lane without it")
    with store_answers():
        must_exist(appid)
        if task_ids:
            chosen = [task_id for task_id in task_ids if _place(task_id) in WAITS] if dry_run else list(task_ids)
        elif lane is not None:
            chosen = _of_lane(lane, appid)
        else:
            chosen = [wait.check.task_id for wait in _waits(appid, older_than) if wait.check.place == "parked"]
    if dry_run or not chosen:
        if as_json:
            print_json({"would_cancel": chosen} if dry_run else Cancelled([], [], [])._asdict())
        else:
            for task_id in chosen:
                click.echo(task_id)
            click.echo(f"{len(chosen)} would be cancelled." if dry_run else "No check waits so.")
        return
    which = chosen[0] if len(chosen) == 1 else f"{len(chosen):,} checks"
    ask(f"Cancel {which}? Its chain fails with CheckCancelled.", yes=yes)
    done = _cancelled(chosen)
    if as_json:
        print_json(done._asdict())
    else:
        _tell(done, one_by_one=bool(task_ids))
    sys.exit(COULD_NOT if done.not_waiting and task_ids else WELL)


def _tell(done: Cancelled, *, one_by_one: bool) -> None:
    if not one_by_one:
        click.echo(f"{len(done.cancelled):,} are cancelled.")
        if done.in_hand:
            click.echo(f"{len(done.in_hand):,} are in hand, and are cancelled if they would wait again.")
        # others have ended meanwhile, which is as good
        return
    for task_id in done.cancelled:
        click.echo(f"{task_id} is cancelled.")
    for task_id in done.in_hand:
        click.echo(f"{task_id} is in hand, and is cancelled if it would wait again.")
    for task_id in done.not_waiting:
        click.echo(f"wxcheck: {task_id} does not wait: see wxcheck show {task_id}", err=True)


def _waits(appid: str | None, older_than: float | None) -> Iterator[Wait]:
    from store.places.census import Census
    from worker.runtime import runtime

    with store_answers():
        store = runtime().store
        seconds, microseconds = store.time()
        now = float(seconds + microseconds / 1e6)
        for check in Census(store, runtime().shard).waiting():
            waited = max(0.0, now - check.since)
            if appid not in (None, check.appid) or (older_than is not None and waited < older_than):
                continue
            yield Wait(check, waited, max(0.0, check.due - now) if check.place == "parked" else None)


def _json(wait: Wait) -> dict[str, Any]:
    left = None if wait.left is None else round(wait.left, 3)
    return {**wait.check._asdict(), "waited_seconds": round(wait.waited, 3), "left_seconds": left}


def _place(task_id: str) -> str:
    from worker.runtime import runtime

    return str((runtime().places.show(task_id) or {}).get("place", ""))


def _of_lane(lane: Lane, appid: str | None) -> list[str]:
    """Return the checks of a kind that wait for their call, of one appId or of all."""
    from store.places.census import Census
    from worker.runtime import runtime

    census = Census(runtime().store, runtime().shard)
    appids = [name for kind, name in census.lanes() if kind == lane and appid in (None, name)]
    found = [task_id for name in appids for task_id in census.of_lane(lane, name)]
    return list(dict.fromkeys([*found, *census.on_shelf(lane, appid)]))


def _cancelled(task_ids: list[str]) -> Cancelled:
    """Cancel checks."""
    from store.places.places import BATCH
    from worker.runtime import runtime

    done = Cancelled([], [], [])
    with store_answers(), progress_of("cancelling", len(task_ids)) as advance:
        for first in range(0, len(task_ids), BATCH):
            batch = task_ids[first : first + BATCH]
            for task_id, place in zip(batch, runtime().places.cancel(batch), strict=True):
                (done.cancelled if place in WAITS else done.in_hand if place == "hand" else done.not_waiting).append(
                    task_id
                )
                advance()
    return done
