"""``wxcheck show``: the life of one check."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ops.cli import options
from ops.cli.app import celery_app
from ops.cli.exits import NO, WELL, broker_answers
from ops.output import COLOURS, print_fields, print_json
from status.words import duration, moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from status.check_life import Life

_COLOURS = {"done": "green", "failed": "red", "dead_letter": "red", "unknown": "yellow"}
#: words for a time that is to come
_TO_COME = {
    "opens": "permit at",
    "comes_back": "comes back",
    "taken_over": "taken over",
    "times_out": "times out",
    "stale": "stale from",
    "expired": "expires",
}


@click.command()
@click.argument("task_id")
@options.as_json
def show(task_id: str, as_json: bool) -> None:
    """Tells the life of one check: its place, why it is there and what comes next, appId, trace_id, what happened when,
    its verdict, or its failure with what to do. Never what was checked.

    Places: in the inbox (no worker has read it), in its lane (it waits for a permit), on the shelf (it comes back
    later), in hand (a worker sends it, or tells its end), parked (it waits for its push), ready (its end is known, and
    not told yet), in the outbox (what follows is not published yet). Then done, failed, dead letter (failed, and kept
    to be replayed), or unknown.

    Exit codes: 0 told, 1 nothing is known of it, 2 store, broker or result backend do not answer.

    \b
    wxcheck show 3f0c…
    wxcheck show 3f0c… --json | jq -r .state
    """
    from config.settings import load_settings
    from status.check_facts import gather
    from status.check_life import life_of
    from store.connection import connect
    from worker.runtime import runtime

    with broker_answers(), connect(load_settings().redis_url, timeout=5) as store:
        life = life_of(gather(task_id, runtime(), celery_app(), store))
    if as_json:
        print_json(life._asdict())
    else:
        print_fields(_fields(life))
    sys.exit(NO if life.state == "unknown" else WELL)


def _fields(life: Life) -> Iterator[tuple[str, str]]:
    from status.check_life import SHOWN

    yield "task id", life.task_id
    yield "state", f"{click.style(SHOWN[life.state], fg=_COLOURS.get(life.state), bold=True)}: {life.said}"
    kind = f" ({life.kind})" if life.kind else ""
    for name, said in (("task", (life.task or "") + kind), ("appId", life.appid), ("trace_id", life.trace_id)):
        if said:
            yield name, said
    if life.processes:
        yield "worker", ", ".join(life.processes)
    before = None
    for name, at in life.times.items():
        after = f"  (+{duration(at - before)})" if before is not None and at >= before else ""
        yield _TO_COME.get(name, name), f"{moment(at)}{after}"
        before = at
    if life.verdict is not None:
        suggest = life.verdict["suggest"]
        colour = click.style(suggest, fg=COLOURS.get(suggest), bold=True)
        yield "verdict", f"{colour}  (label {life.verdict['label']}, version {life.verdict['version']})"
    if life.failure is not None:
        name, said, rid = life.failure["name"], life.failure["said"], life.failure["rid"]
        told = f"{name}: {said}" if said else name
        yield "failure", told if not rid or rid in told else f"{told} (rid {rid})"
        if life.failure["remedy"]:
            yield "remedy", life.failure["remedy"]
    for follow_up in life.follow_ups:
        queue, count = follow_up["queue"], f"{follow_up['messages']:,}"
        if follow_up["own"]:
            yield "follow-up", f"waits in {queue}, which no worker consumes; {count} wait there"
        else:
            yield "follow-up", f"{count} wait in {queue}, which no worker consumes; its own may be among them"
