"""The command line ``wxcheck``."""

from __future__ import annotations

import itertools
import json
import re
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn, get_args

import click
from celery.exceptions import TimeoutError as ResultTimeout
from kombu.exceptions import OperationalError
from redis import RedisError
from rich.console import Console
from rich.table import Column, Table

from cli.board import board
from config.names import CANCEL, PUSH_QUEUE
from config.settings import PREFIX, Settings, load_settings
from wxcheck import CheckError, Scene, check_media, check_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Celery

    from worker.dead_letters import DeadLetter

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
SOUND = (".mp3", ".aac", ".ac3", ".wma", ".flac", ".ogg", ".opus", ".wav", ".m4a")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="wxcheck")
def main() -> None:
    """Checks users' content with WeChat's content-security APIs, on Celery.

    Settings come from environment variables named WXCHECK_… and from .env in this directory: see README.md.
    """


main.add_command(board)


@main.command()
def demo() -> None:
    """Sends checks through real chains on this machine, against the sandbox, and prints what became of each."""
    from local.demo import run_demo

    sys.exit(run_demo())


@main.command()
def up() -> None:
    """Runs everything on this machine until Ctrl-C: worker, endpoint and Flower.

    Against the real platform where WXCHECK_APPID is set, else against the sandbox; with a Redis of its own where
    WXCHECK_REDIS_URL is not set.
    """
    from local.up import run_up

    sys.exit(run_up())


@main.command()
@click.argument("text_or_url")
@click.option("--media", type=click.Choice(["image", "audio"]), help="Of a URL; by default told by its ending.")
@click.option("--text", "as_text", is_flag=True, help="Check a URL as a text.")
@click.option("--openid", help="With --scene: version 2 of the platform's API.")
@click.option("--scene", type=click.Choice([str(scene) for scene in get_args(Scene)]), help="1 profile … 4 social log.")
@click.option("--appid", help="The Mini Program, where it is not the default one.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds to wait for the verdict; default: 60 for a text, PUSH_TIMEOUT and 60 for a file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
def check(
    text_or_url: str,
    media: str | None,
    as_text: bool,
    openid: str | None,
    scene: str | None,
    appid: str | None,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Checks one text, or one file by its http(s) URL; waits, and prints the verdict.

    Exit codes: 0 pass, 1 review or risky, 2 could not be checked. A worker must be running.

    \b
    wxcheck check "what a lovely day"
    wxcheck check https://example.com/cat.jpg
    wxcheck check https://example.com/voice --media audio --openid oABC… --scene 2
    """
    _app()
    user: dict[str, Any] = {"openid": openid, "scene": int(scene) if scene else None, "appid": appid}
    # also one that WeChat cannot fetch: taken for a text, a mistyped URL would pass
    is_file = not as_text and _URL.fullmatch(text_or_url) is not None
    if is_file:
        kind = media or ("audio" if text_or_url.split("?")[0].lower().endswith(SOUND) else "image")
        signature = check_media(text_or_url, kind, **user)  # type: ignore[arg-type]
    else:
        signature = check_text(text_or_url, **user)
    wait = timeout or (load_settings().push_timeout + 60 if is_file else 60)
    try:
        result = signature.apply_async()
        verdict = result.get(timeout=wait)
    except CheckError as failure:
        _fail(f"{type(failure).__name__}: {failure}")
    except ResultTimeout:
        late = f"no verdict within {wait:.0f} s. Does a worker consume {signature.options['queue']}"
        push = f", and does the push URL reach the endpoint? It waits on; to end that: wxcheck cancel {result.id}"
        _fail(late + (push if is_file else "?"))
    except (OperationalError, RedisError, RuntimeError) as error:  # the last is Celery's for a backend that stays away
        _fail(f"broker or result backend: {type(error).__name__}: {' '.join(str(error).split())}")
    if as_json:
        click.echo(json.dumps(verdict, ensure_ascii=False))
    else:
        click.echo(f"{verdict['suggest']}  (label {verdict['label']}, {verdict['kind']}, version {verdict['version']})")
    sys.exit(0 if verdict["suggest"] == "pass" else 1)


@main.command()
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="The next ones to end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def pending(limit: int, as_json: bool) -> None:
    """Lists the media checks that wait for their push, the next one to time out first."""
    from worker.runtime import runtime

    try:
        waiting = runtime().parking.waiting(limit)
    except RedisError as error:
        _fail(f"the store: {type(error).__name__}: {error}")
    if as_json:
        click.echo(json.dumps([check._asdict() for check in waiting]))
        return
    if not waiting:
        click.echo("No check waits for its push.")
        return
    rows = []
    for check in waiting:
        due = datetime.fromtimestamp(check.due).astimezone().isoformat(" ", "seconds")
        rows.append([check.task_id or "-", check.state, due, check.appid, check.trace_id])
    _print_table(["task id", "state", "until", "appId", "trace_id"], rows)


@main.command()
@click.argument("task_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
def cancel(task_id: str, yes: bool) -> None:
    """Ends the wait of a media check with CheckCancelled: its errbacks run. The call to the platform stays spent."""
    if not yes:
        click.confirm(f"Cancel {task_id}? Its chain fails with CheckCancelled.", abort=True)
    try:
        result = _app().send_task(CANCEL, kwargs={"task_id": task_id}, queue=PUSH_QUEUE)
        cancelled = result.get(timeout=30)
    except ResultTimeout:
        _fail("no answer within 30 s. Does a worker consume wxcheck.push?")
    except (OperationalError, RedisError) as error:
        _fail(f"broker or result backend: {type(error).__name__}: {error}")
    if not cancelled:
        _fail(f"{task_id} does not wait for a push: see wxcheck pending")
    click.echo(f"{task_id} is cancelled.")


@main.command()
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
        click.echo(json.dumps([letter._asdict() for letter in letters], ensure_ascii=False))
        return
    if not letters:
        click.echo("No check waits to be replayed.")
        return
    rows = []
    for letter in letters:
        at = datetime.fromtimestamp(letter.failed_at).astimezone().isoformat(" ", "seconds")
        said = ", ".join(map(str, letter.said))
        state = "yes" if letter.has_content else "no, its content was not kept"
        rows.append([letter.task_id, letter.failure, said, at, letter.appid or "-", letter.task, state])
    _print_table(["task id", "failure", "said", "at", "appId", "task", "replayable"], rows)


@main.command()
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
    try:
        for task_id in chosen:
            if not runtime().dead_letters.replay(task_id):
                missing += 1
                click.echo(f"wxcheck: {task_id} is not there, or its content was not kept: see wxcheck dead", err=True)
    except RedisError as error:
        _fail(f"the store: {type(error).__name__}: {error}")
    click.echo(f"{len(chosen) - missing} are on their way.")
    sys.exit(2 if missing else 0)


def _dead_letters(failure: str | None) -> Iterator[DeadLetter]:
    from worker.runtime import runtime

    try:
        for letter in runtime().dead_letters.letters():
            if failure is None or letter.failure == failure:
                yield letter
    except RedisError as error:
        _fail(f"the store: {type(error).__name__}: {error}")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Looks at Redis, whether it loses nothing by itself, and at each Mini Program's quotas: what is counted here
    today, what WeChat counts, and what it grants.

    Where WeChat counts more, for other programs spend the same quota, its count is gone by from then on. Each line says
    OK, or what is wrong with its remedy.

    Exit codes: 0 all is well, 1 something is not.

    \b
    wxcheck doctor
    wxcheck doctor --json
    """
    from worker.doctor import examine
    from worker.runtime import runtime

    load_settings("worker")
    findings = []
    for finding in examine(runtime()):
        findings.append(finding)
        if not as_json:
            click.echo(f"{'OK' if finding.well else '!!'}  {finding.subject}: {finding.said}")
    if as_json:
        click.echo(json.dumps([finding._asdict() for finding in findings], ensure_ascii=False))
    sys.exit(0 if all(finding.well for finding in findings) else 1)


@main.group()
def config() -> None:
    """The settings."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(as_json: bool) -> None:
    """Lists every setting, and whether it was set; secrets are masked."""
    settings = load_settings()
    rows = [(PREFIX + name.upper(), shown, name in settings.model_fields_set) for name, shown in _shown(settings)]
    if as_json:
        click.echo(json.dumps({name: {"value": value, "set": was_set} for name, value, was_set in rows}))
        return
    shown = [[name, value, "environment or .env" if was_set else "default"] for name, value, was_set in rows]
    _print_table(["setting", "value", "from"], shown)


def _shown(settings: Settings) -> list[tuple[str, str]]:
    from kombu.utils.url import maybe_sanitize_url

    shown = []
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if name == "apps":
            value = ", ".join(value) or None  # each entry holds secrets
        elif name in ("redis_url", "broker_url", "result_backend"):
            value = maybe_sanitize_url(value or settings.redis_url)
        shown.append((name, "" if value is None else str(value)))
    return shown


def _print_table(heads: list[str], rows: list[list[str]]) -> None:
    """A table in a terminal; elsewhere lines with tabs, for other programs. Nothing is cut off."""
    console = Console()
    if not console.is_terminal:
        for row in [heads, *rows]:
            click.echo("\t".join(row))
        return
    table = Table(*[Column(head, overflow="fold", no_wrap=number == 0) for number, head in enumerate(heads)])
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _app() -> Celery:
    from worker.app import app

    app.set_default()
    return app


def _fail(message: str) -> NoReturn:
    click.echo(f"wxcheck: {message}", err=True)
    sys.exit(2)
