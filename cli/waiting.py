"""``wxcheck pending`` and ``wxcheck cancel``: the media checks that wait for their push."""

from __future__ import annotations

import click

from cli.app import celery_app
from cli.exits import broker_answers, fail, store_answers
from cli.output import moment, print_json, print_table


@click.command()
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="The next ones to end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def pending(limit: int, as_json: bool) -> None:
    """Lists the media checks that wait for their push, the next one to time out first."""
    from worker.runtime import runtime

    with store_answers():
        waiting = runtime().parking.waiting(limit)
    if as_json:
        print_json([check._asdict() for check in waiting])
        return
    if not waiting:
        click.echo("No check waits for its push.")
        return
    rows = [[check.task_id or "-", check.state, moment(check.due), check.appid, check.trace_id] for check in waiting]
    print_table(["task id", "state", "until", "appId", "trace_id"], rows)


@click.command()
@click.argument("task_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
def cancel(task_id: str, yes: bool) -> None:
    """Ends the wait of a media check with CheckCancelled: its errbacks run. The call to the platform stays spent."""
    from celery.exceptions import TimeoutError as ResultTimeout

    from config.names import CANCEL, PUSH_QUEUE

    if not yes:
        click.confirm(f"Cancel {task_id}? Its chain fails with CheckCancelled.", abort=True)
    try:
        with broker_answers():
            result = celery_app().send_task(CANCEL, kwargs={"task_id": task_id}, queue=PUSH_QUEUE)
            cancelled = result.get(timeout=30)
    except ResultTimeout:
        fail("no answer within 30 s. Does a worker consume wxcheck.push?")
    if not cancelled:
        fail(f"{task_id} does not wait for a push: see wxcheck pending")
    click.echo(f"{task_id} is cancelled.")
