"""``wxcheck demo``: the whole system on this machine, checks in real chains, and a table of their outcomes."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import redis
import requests
from celery import Celery
from kombu.exceptions import OperationalError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from config.settings import PREFIX, load_settings
from ops.local.cases import cases
from ops.local.demo_app import runs_key
from ops.local.errors import LocalError
from ops.local.interrupt import Interrupted, interruptible
from ops.local.outcome import Outcome, Sent, send
from ops.local.platform_stats import platform_stats
from ops.local.stack import Stack, drop_celery_variables

Tell = Callable[[str], None]

#: seconds for all cases to end; they take about two
_OUTCOMES_TIMEOUT = 30.0
#: seconds between two looks
_LOOK = 0.05
#: seconds after the last push in which a follow-up that runs twice would show
_SETTLE = 1.0

#: columns of the table without a terminal
_WIDTH = 132

_NEXT = (
    f"Next: put {PREFIX}APPID, {PREFIX}SECRET, {PREFIX}PUSH_TOKEN and {PREFIX}PUSH_AES_KEY of your Mini Program into "
    ".env and run: .venv/bin/wxcheck up"
)


def run_demo() -> int:
    """Run the demo. Return its exit code: 0 only if every outcome is right.

    1: an outcome is wrong, or a process failed; 130, 143: SIGINT or SIGTERM ended it. Nothing is left behind.
    """
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    try:
        with interruptible():
            return _run(console)
    except Interrupted as interrupted:
        console.print(f"interrupted by {interrupted.signal.name}: every process that was started has ended")
        return interrupted.exit_code
    except LocalError as error:
        console.print(f"the demo failed: {error}", markup=False, soft_wrap=True)
        return 1


def _run(console: Console) -> int:
    started = time.monotonic()
    drop_celery_variables()
    console.print("wxcheck demo: everything on this machine, with a stand-in for WeChat's platform")
    with (
        _progress(console) as tell,
        Stack(load_settings(), sandbox=True, isolated=True, demo_app=True, tell=tell) as stack,
    ):
        try:
            sent, outcomes, faults = _check_everything(stack, tell)
        except (redis.RedisError, OperationalError, requests.RequestException) as error:
            time.sleep(_SETTLE)
            stack.check()  # a process that ended is the better explanation
            raise LocalError(f"{type(error).__name__}: {error}") from error
        kept = stack.processes.keep_logs() if faults else None
        tell("ending every process")
    console.print(_table(sent, outcomes))
    if kept is not None:
        console.print("Not everything came out as it should:")
        for fault in faults:
            console.print(f"  - {fault}", markup=False, soft_wrap=True)
        console.print(f"The logs are in {kept}", markup=False, soft_wrap=True)
        return 1
    seconds = time.monotonic() - started
    console.print(f"All {len(sent)} came out as they should; each follow-up ran exactly once. {seconds:.0f} s in all.")
    console.print(_NEXT, markup=False, soft_wrap=True)
    return 0


@contextmanager
def _progress(console: Console) -> Iterator[Tell]:
    """Lines that stay; on a terminal, a line that moves during the next step."""
    if not console.is_terminal:
        yield lambda step: console.print(f"  {step}", markup=False)
        return
    with console.status("starting") as status:

        def tell(step: str) -> None:
            console.print(f"  {step}", markup=False)
            status.update(Text(step))

        yield tell


def _check_everything(stack: Stack, tell: Tell) -> tuple[list[Sent], list[Outcome], list[str]]:
    """Send every case and wait for its outcome. Return the sent cases, their outcomes, and all faults."""
    run = secrets.token_hex(4)  # a Redis of the user's may remember other demos
    with _application(stack) as app, redis.Redis.from_url(stack.store_url, socket_timeout=5) as store:
        sent = [send(case, f"{run}-{number}") for number, case in enumerate(cases(), 1)]
        tell(f"sent {len(sent)} chains and chords")
        deadline = time.monotonic() + _OUTCOMES_TIMEOUT
        _await_outcomes(stack, app, sent, store, deadline, tell)
        while platform_stats(stack).waiting and time.monotonic() < deadline:
            time.sleep(_LOOK)
        time.sleep(_SETTLE)
        outcomes = [one.outcome(app, store) for one in sent]
        store.delete(*(runs_key(one.subject) for one in sent))
    pairs = zip(sent, outcomes, strict=True)
    faults = [f"{one.case.title}: {fault}" for one, outcome in pairs for fault in outcome.faults(one.case)]
    return sent, outcomes, faults + platform_stats(stack).faults([one.case for one in sent])


@contextmanager
def _application(stack: Stack) -> Iterator[Celery]:
    """Return a Celery app with broker and backend, like that of any application with wxcheck's client."""
    with Celery("wxcheck-demo", broker=stack.broker, backend=stack.backend) as app:
        app.set_default()
        try:
            yield app
        finally:
            # existing results would unsubscribe when the program ends, at a Redis that is gone by then
            consumer = getattr(app.backend, "result_consumer", None)  # other backends have no such consumer
            if consumer is not None:
                consumer.subscribed_to.clear()


def _await_outcomes(
    stack: Stack, app: Celery, sent: list[Sent], store: redis.Redis, deadline: float, tell: Tell
) -> None:
    """Return when each case is complete, or at ``deadline``."""
    waiting = list(sent)
    while waiting and time.monotonic() < deadline:
        stack.check()
        for one in list(waiting):
            if one.outcome(app, store).complete:
                waiting.remove(one)
                tell(f"{len(sent) - len(waiting)} of {len(sent)}: {one.case.title}")
        time.sleep(_LOOK)


def _table(sent: list[Sent], outcomes: list[Outcome]) -> Table:
    table = Table("sent", "verdict", "follow-up that ran", title="What became of each")
    table.add_column("seconds", justify="right")
    table.add_column("")
    for one, outcome in zip(sent, outcomes, strict=True):
        runs = "\n".join(f"{run.task.removeprefix('demo.')}: {_told(run.outcome)}" for run in outcome.runs)
        seconds = f"{outcome.runs[-1].at - one.at:.2f}" if outcome.runs else "-"
        wrong = bool(outcome.faults(one.case))
        mark = Text("wrong", "bold red") if wrong else Text("ok", "green")
        table.add_row(one.case.title, ", ".join(outcome.words()), runs or "none", seconds, mark)
    return table


def _told(outcome: dict[str, object]) -> str:
    shown = outcome["shown"]
    return ", ".join("shown" if one else "not shown" for one in (shown if isinstance(shown, list) else [shown]))


if __name__ == "__main__":
    raise SystemExit(run_demo())
