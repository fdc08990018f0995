"""``wxcheck submit``: a file of texts and media URLs."""

from __future__ import annotations

import shlex
import signal
import sys
import time
import uuid
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, NamedTuple

import click

from ops.cli import options
from ops.cli.app import celery_app, program_of
from ops.cli.asking import ask
from ops.cli.exits import NO, WELL, fail
from ops.output import print_json
from status.words import duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from config.settings import MiniProgram, Settings
    from ops.backfill.faults import Fault
    from ops.backfill.journal import Header, Journal
    from ops.backfill.run import Backfill, Options
    from ops.backfill.state import State
    from ops.backfill.survey import Survey

INTERRUPTED = 130

Form = Literal["csv", "jsonl"]
_ENDINGS: dict[str, Form] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


class Paths(NamedTuple):
    """The places of a backfill's files."""

    #: None: stdout
    output: Path | None
    journal: Path
    form: Form
    output_form: Form


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--output", "-o", help="Where verdicts go; - is stdout. Default: FILE with .verdicts before its ending.")
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), help="Of the output; default: by its ending.")
@click.option("--input-format", type=click.Choice(["csv", "jsonl"]), help="Of FILE; default: by its ending.")
@click.option("--appid", help="The Mini Program, where it is not the default one.")
@click.option("--budget", type=click.IntRange(min=1), metavar="N", help="Send N checks at most, then stop.")
@click.option(
    "--in-flight", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="Enqueued at a time, at most."
)
@click.option(
    "--patience",
    type=options.seconds_of,
    default="10m",
    show_default=True,
    metavar="TIME",
    help="To wait for a broker or store that is away.",
)
@click.option("--skip-invalid", is_flag=True, help="Send the valid lines although others are not.")
@click.option("--retry-failed", is_flag=True, help="Send again what failed for a reason that can be mended.")
@click.option("--resend-doubtful", is_flag=True, help="Send again what may have been sent, and nobody knows.")
@click.option("--dry-run", is_flag=True, help="Only validate; say how many checks it is, and how long they take.")
@options.yes
@click.option("--json", "as_json", is_flag=True, help="Print the plan, or the end, as JSON.")
def submit(
    file: Path,
    output: str | None,
    form: Form | None,
    input_format: Form | None,
    appid: str | None,
    budget: int | None,
    in_flight: int,
    patience: float,
    skip_invalid: bool,
    retry_failed: bool,
    resend_doubtful: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Checks a CSV or JSONL file of texts and media URLs, at low priority, each line once; verdicts go to a CSV or
    JSONL file as they come. First every line is validated: nothing is sent while one is wrong.

    Columns: content (or text), or media_url (or url) with media_type; openid, scene, title, nickname, signature; id.
    After Ctrl-C or a crash the same command goes on. OUTPUT.journal beside the output says what was sent: keep it.

    Exit codes: 0 each line has a verdict, 1 some failed, were invalid or are left, 2 it could not go on, 130 Ctrl-C.

    \b
    wxcheck submit comments.csv --dry-run
    wxcheck submit comments.csv --output verdicts.jsonl --yes
    wxcheck submit photos.jsonl --budget 50000 --yes --json | jq .left
    wxcheck submit comments.csv --output verdicts.jsonl --retry-failed --yes
    """
    from config.settings import load_settings
    from ops.backfill.faults import CannotGoOn
    from ops.backfill.run import Options

    settings = load_settings()
    program = program_of(settings, appid)
    paths = _paths(file, output, form, input_format)
    if as_json and paths.output is None:
        raise click.UsageError("--json prints on stdout, where --output - has the verdicts")
    told = Options(in_flight, budget, patience, retry_failed, resend_doubtful)
    try:
        with _interrupts(), file.open("rb") as opened:
            found = _survey(opened, paths.form, program, settings)
            if found.invalid and not (skip_invalid or dry_run):
                fail(f"nothing is sent: {_count(found.invalid, 'line')} of {found.lines:,} not valid; --skip-invalid")
            if dry_run:
                _tell_plan(found, program, as_json=as_json)
                sys.exit(NO if found.invalid else WELL)
            code = _run(opened, paths, found, program, settings, told, yes=yes, as_json=as_json)
    except CannotGoOn as error:
        fail(str(error))
    except KeyboardInterrupt:
        click.echo("wxcheck: interrupted; what was sent goes on being checked. The same command goes on:", err=True)
        click.echo(shlex.join(["wxcheck", *sys.argv[1:]]), err=True)
        sys.exit(INTERRUPTED)
    except OSError as error:
        fail(f"{error.filename or file}: {error.strerror}")
    sys.exit(code)


def _paths(file: Path, output: str | None, form: Form | None, input_format: Form | None) -> Paths:
    found = input_format or _ENDINGS.get(file.suffix.lower())
    if found is None:
        raise click.UsageError(f"{file.name}: neither .csv nor .jsonl; say --input-format")
    if output == "-":
        return Paths(None, file.with_name(f"{file.name}.journal"), found, form or found)
    path = Path(output) if output else file.with_name(f"{file.stem}.verdicts.{form or found}")
    if path.resolve() == file.resolve():
        raise click.UsageError("--output is FILE itself")
    told = form or _ENDINGS.get(path.suffix.lower())
    if told is None:
        raise click.UsageError(f"{path.name}: neither .csv nor .jsonl; say --format")
    return Paths(path, path.with_name(f"{path.name}.journal"), found, told)


def _survey(file: IO[bytes], form: Form, program: MiniProgram, settings: Settings) -> Survey:
    from ops.backfill.survey import survey
    from ops.output import spinner

    def tell(faults: Iterable[Fault]) -> None:
        for fault in faults:
            click.echo(str(fault), err=True)

    with spinner("validating"):
        found = survey(file, form, program.appid, settings, tell)
    if found.ignored:
        click.echo(f"wxcheck: not read: {', '.join(found.ignored)}", err=True)
    if not found.lines:
        fail("the file has no line to check")
    return found


def _tell_plan(found: Survey, program: MiniProgram, *, as_json: bool) -> None:
    from ops.backfill.survey import least_seconds

    seconds = least_seconds(found.texts, found.media, program)
    if as_json:
        plan = {"texts": found.texts, "media": found.media, "invalid": found.invalid}
        print_json({**plan, "least_seconds": round(seconds, 1), "appid": program.appid})
        return
    parts = [_count(found.texts, "text"), f"{found.media:,} media", f"{found.invalid:,} not valid"]
    click.echo(f"{', '.join(parts)}. At the quotas of {program.appid} it takes {duration(seconds)} at least.")


def _run(
    file: IO[bytes],
    paths: Paths,
    found: Survey,
    program: MiniProgram,
    settings: Settings,
    told: Options,
    *,
    yes: bool,
    as_json: bool,
) -> int:
    from config.celery import SOCKET_TIMEOUT
    from ops.backfill.faults import CannotGoOn
    from ops.backfill.journal import Header, Journal
    from ops.backfill.output import Output
    from ops.backfill.progress import Progress
    from ops.backfill.run import Backfill, restored
    from ops.backfill.state import State
    from ops.backfill.survey import digest
    from store.connection import connect
    from store.dead_letters.dead_letters import DeadLetters

    if paths.output is not None and paths.output.exists() and not paths.journal.exists():
        raise CannotGoOn(f"{paths.output} is there, and {paths.journal.name} is not; name another --output")
    sha256, size = digest(file)
    if not paths.journal.exists():
        _ask(State(), found, program, told, yes=yes)
    with ExitStack() as stack:
        journal = stack.enter_context(closing(Journal(paths.journal)))
        header = _header(journal, Header(str(uuid.uuid4()), sha256, size, program.appid))
        output = stack.enter_context(closing(Output(paths.output, paths.output_form, journal)))
        state = restored(journal, output)
        if state.last_number:
            _ask(state, found, program, told, yes=yes)
        progress = Progress(found.lines, sum(state.counts().values()) - _open_again(state, told))
        store = stack.enter_context(connect(settings.redis_url, SOCKET_TIMEOUT, retries=0))
        letters = DeadLetters(store, settings.dead_letter_days, with_content=settings.dead_letter_content)
        app = celery_app()
        run = Backfill(file, paths.form, header, journal, output, settings, app, store, letters, told, progress)
        with progress.shown():
            run.go()
    return _tell_end(run, found, paths, as_json=as_json)


def _header(journal: Journal, mine: Header) -> Header:
    """Return the first line of the journal; write it if there is none."""
    from ops.backfill.faults import CannotGoOn
    from ops.backfill.journal import header_of, new_header

    first = next(journal.entries(), None)
    if first is None:
        journal.add(new_header(mine, time.time()))
        return mine
    header = header_of(first)
    if header is None:
        raise CannotGoOn(f"{journal.path} is no journal of wxcheck submit; name another --output")
    if (header.sha256, header.size) != (mine.sha256, mine.size):
        raise CannotGoOn(f"{journal.path} is of another file, or FILE was changed since; name another --output")
    if header.appid != mine.appid:
        raise CannotGoOn(f"{journal.path} is of {header.appid}; say --appid {header.appid}, or name another --output")
    return header


def _open_again(state: State, told: Options) -> int:
    """Return the number of lines whose end no longer counts."""
    from ops.backfill.state import End

    ended = state.counts()
    return (ended[End.MENDABLE] if told.retry_failed else 0) + (ended[End.UNKNOWN] if told.resend_doubtful else 0)


def _ask(state: State, found: Survey, program: MiniProgram, told: Options, *, yes: bool) -> None:
    from ops.backfill.state import End

    ended = state.counts()
    closed = sum(ended.values()) - ended[End.INVALID] - _open_again(state, told)
    left = found.texts + found.media - closed - state.on_their_way()
    if told.budget is not None:
        left = min(left, max(0, told.budget - state.spent))
    if left <= 0:
        return
    texts = f"{min(left, found.texts):,} of the day's {program.text_per_day:,} calls for texts"
    media = f"{min(left, found.media):,} of its {program.media_per_day:,} for media"
    ask(f"Send {_count(left, 'check')}? At most {texts}, and {media}, are spent.", yes=yes)


def _tell_end(run: Backfill, found: Survey, paths: Paths, *, as_json: bool) -> int:
    from ops.backfill.state import End

    counts = run.state.counts()
    rows = run.rows_of_this_process
    ended = sum(counts.values())
    code = WELL if counts[End.VERDICT] == found.lines else NO
    if as_json:
        ends = {end.name.lower(): count for end, count in counts.items()}
        # all failures of the rows, with those that can be mended among them
        ends["failed"] += ends["mendable"]
        now = dict(sorted(rows.items()))
        print_json({"lines": found.lines, **ends, "left": found.lines - ended, "now": now, "output": str(paths.output)})
        return code
    said = [f"{name} {count:,}" for name, count in sorted(rows.items())]
    click.echo(f"wxcheck: {ended:,} of {_count(found.lines, 'line')} ended; now {', '.join(said) or 'none'}", err=True)
    mendable, unknown = counts[End.MENDABLE], counts[End.UNKNOWN]
    if mendable:
        click.echo(f"wxcheck: {mendable:,} failed for a reason that can be mended: --retry-failed", err=True)
    if unknown:
        click.echo(f"wxcheck: of {unknown:,} nobody knows whether they were sent: --resend-doubtful", err=True)
    if run.is_budget_spent:
        left = found.lines - ended
        click.echo(f"wxcheck: the budget is spent, {_count(left, 'line')} left. The same command goes on", err=True)
    if paths.output is not None:
        click.echo(f"wxcheck: {paths.output}", err=True)
    return code


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")


@contextmanager
def _interrupts() -> Iterator[None]:
    """Make SIGTERM end the command as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
