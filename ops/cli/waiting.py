"""``wxcheck pending`` and ``wxcheck cancel``: the media checks that wait for their push."""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ops.cli import options
from ops.cli.app import celery_app, must_exist
from ops.cli.asking import ask
from ops.cli.exits import COULD_NOT, WELL, broker_answers, fail, store_answers
from ops.output import print_json, print_table, progress_of
from status.words import duration, moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from store.parked.parked import Waiting

#: most seconds to wait for a worker's answer
ANSWER_SECONDS = 30


class Wait(NamedTuple):
    """A check that has not ended, and the seconds since it was parked; None if nobody knows."""

    check: Waiting
    waited: float | None
    #: seconds until it times out, if it waits
    left: float | None


@click.command()
@options.appid
@options.older_than
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="The next ones to end.")
@options.as_json
def pending(appid: str | None, older_than: float | None, limit: int, as_json: bool) -> None:
    """Lists the media checks that wait for their push, the next one to time out first.

    States: waiting (for its push), finishing (what ended the wait is there, a worker is about to say so), early (a push
    whose check is not here yet).

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
            wait.check.task_id or "-",
            wait.check.state,
            "-" if wait.waited is None else duration(wait.waited),
            "-" if wait.left is None else f"in {duration(wait.left)}, {moment(wait.check.due)}",
            wait.check.appid,
            wait.check.trace_id,
        ]
        for wait in waits
    ]
    print_table(["task id", "state", "waited", "times out", "appId", "trace_id"], rows)


@click.command()
@click.argument("task_ids", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All that wait for their push.")
@options.appid
@options.older_than
@options.dry_run
@options.yes
@options.as_json
def cancel(
    task_ids: tuple[str, ...],
    every: bool,
    appid: str | None,
    older_than: float | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Ends the wait of media checks with CheckCancelled: their errbacks run. The calls to the platform stay spent.

    By task id, by appId and age, or all. A worker must consume wxcheck.push.

    Exit codes: 0 all are cancelled, 1 you said no, 2 some did not wait for a push, or nobody answers.

    \b
    wxcheck cancel 3f0c…
    wxcheck cancel --older-than 20m --appid wx0123456789abcdef --dry-run
    wxcheck cancel --all --yes
    """
    by_filter = appid is not None or older_than is not None
    if bool(task_ids) + every + by_filter != 1:
        raise click.UsageError("say which: task ids, --older-than TIME and --appid APPID, or --all")
    with store_answers():
        must_exist(appid)
        if task_ids:
            chosen = [task_id for task_id in task_ids if _waits_for_push(task_id)] if dry_run else list(task_ids)
        else:
            found = _waits(appid, older_than)
            chosen = [wait.check.task_id for wait in found if wait.check.task_id and wait.check.state == "waiting"]
    if dry_run or not chosen:
        if as_json:
            print_json({"would_cancel": chosen} if dry_run else {"cancelled": [], "not_waiting": []})
        else:
            for task_id in chosen:
                click.echo(task_id)
            click.echo(f"{len(chosen)} would be cancelled." if dry_run else "No check waits so.")
        return
    which = chosen[0] if len(chosen) == 1 else f"{len(chosen)} checks"
    ask(f"Cancel {which}? Its chain fails with CheckCancelled.", yes=yes)
    cancelled = _cancelled(chosen)
    gone = [task_id for task_id in chosen if task_id not in cancelled]
    if as_json:
        print_json({"cancelled": [task_id for task_id in chosen if task_id in cancelled], "not_waiting": gone})
    elif task_ids:
        for task_id in chosen:
            if task_id in cancelled:
                click.echo(f"{task_id} is cancelled.")
    else:
        click.echo(f"{len(cancelled)} are cancelled.")
    for task_id in gone:
        # a check may have ended meanwhile, which is as good
        if task_ids:
            click.echo(f"wxcheck: {task_id} does not wait for a push: see wxcheck show {task_id}", err=True)
    sys.exit(COULD_NOT if gone and task_ids else WELL)


def _waits(appid: str | None, older_than: float | None) -> Iterator[Wait]:
    from worker.runtime import runtime

    with store_answers():
        timeout = runtime().settings.push_timeout
        now = runtime().parking.now()
        for check in runtime().parking.each_waiting():
            is_waiting = check.state == "waiting"
            since = check.due - timeout if check.since is None and is_waiting else check.since
            waited = None if since is None else max(0.0, now - since)
            if appid not in (None, check.appid) or (older_than is not None and (waited is None or waited < older_than)):
                continue
            yield Wait(check, waited, max(0.0, check.due - now) if is_waiting else None)


def _json(wait: Wait) -> dict[str, Any]:
    waited = None if wait.waited is None else round(wait.waited, 3)
    return {**wait.check._asdict(), "waited_seconds": waited, "left_seconds": wait.left and round(wait.left, 3)}


def _waits_for_push(task_id: str) -> bool:
    from worker.runtime import runtime

    return runtime().records.look(task_id) == "waiting"


def _cancelled(task_ids: list[str]) -> set[str]:
    """Have the workers cancel checks. Return the checks that did wait."""
    from celery.exceptions import TimeoutError as ResultTimeout

    from config.names import CANCEL, PUSH_QUEUE

    app, cancelled = celery_app(), set()
    try:
        with broker_answers(), progress_of("cancelling", len(task_ids)) as advance:
            sent = {
                task_id: app.send_task(CANCEL, kwargs={"task_id": task_id}, queue=PUSH_QUEUE) for task_id in task_ids
            }
            for task_id, result in sent.items():
                if result.get(timeout=ANSWER_SECONDS):
                    cancelled.add(task_id)
                advance()
    except ResultTimeout:
        done = f"; {len(cancelled)} are cancelled, the others will be when one does" if len(task_ids) > 1 else ""
        fail(f"no answer within {ANSWER_SECONDS} s. Does a worker consume wxcheck.push?{done}")
    return cancelled
