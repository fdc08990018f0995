"""``wxcheck check``: one text, or one file."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from ops.cli.app import celery_app, program_of
from ops.cli.exits import COULD_NOT, NO, WELL, broker_answers, fail
from ops.media_names import media_type_of
from ops.output import COLOURS, print_json, spinner

if TYPE_CHECKING:
    from wxcheck import CheckError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
#: values of :data:`wxcheck.Scene`, whose import would take Celery's
SCENES = ("1", "2", "3", "4")


@click.command()
@click.argument("text_or_url")
@click.option("--media", type=click.Choice(["image", "audio"]), help="Of a URL; by default told by its ending.")
@click.option("--text", "as_text", is_flag=True, help="Check a URL as a text.")
@click.option("--openid", help="With --scene: version 2 of the platform's API.")
@click.option("--scene", type=click.Choice(SCENES), help="1 profile … 4 social log.")
@click.option("--appid", help="The Mini Program, where it is not the default one.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds to wait for the verdict; default: 60 for a text, PUSH_TIMEOUT and 60 for a file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict, or the failure, as JSON.")
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
    """Checks one text, or one file by its http(s) URL; waits, and prints the verdict. On a terminal it shows for how
    long it has waited.

    Exit codes: 0 pass, 1 review or risky, 2 could not be checked. A worker must be running.

    \b
    wxcheck check "what a lovely day"
    wxcheck check https://example.com/cat.jpg
    wxcheck check https://example.com/voice --media audio --openid oABC… --scene 2
    wxcheck check "what a lovely day" --json | jq -r .suggest
    """
    from celery.exceptions import TimeoutError as ResultTimeout

    from config.settings import load_settings
    from wxcheck import CheckError, check_media, check_text

    if appid is not None:
        program_of(load_settings(), appid)
    celery_app()
    user: dict[str, Any] = {"openid": openid, "scene": int(scene) if scene else None, "appid": appid}
    # even a URL that WeChat cannot fetch: taken for a text, a mistyped URL would pass
    is_file = not as_text and _URL.fullmatch(text_or_url) is not None
    if is_file:
        kind = media or media_type_of(text_or_url)
        signature = check_media(text_or_url, kind, **user)  # type: ignore[arg-type]
    else:
        signature = check_text(text_or_url, **user)
    wait = timeout or (load_settings().push_timeout + 60 if is_file else 60)
    try:
        with broker_answers():
            result = signature.apply_async()
            with spinner("waiting for the push" if is_file else "waiting for the verdict"):
                verdict = result.get(timeout=wait)
    except CheckError as failure:
        _tell(failure, as_json=as_json)
    except ResultTimeout:
        late = f"no verdict within {wait:.0f} s. Does a worker consume {signature.options['queue']}"
        push = f", and does the push URL reach the endpoint? It waits on; to end that: wxcheck cancel {result.id}"
        fail(late + (push if is_file else "?"))
    if as_json:
        print_json(verdict)
    else:
        suggest = click.style(verdict["suggest"], fg=COLOURS.get(verdict["suggest"]), bold=True)
        click.echo(f"{suggest}  (label {verdict['label']}, {verdict['kind']}, version {verdict['version']})")
    sys.exit(WELL if verdict["suggest"] == "pass" else NO)


def _tell(failure: CheckError, *, as_json: bool) -> NoReturn:
    """Print why the check failed, with the remedy."""
    from status.check_facts import failure_of
    from status.remedies import remedy

    told = failure_of(failure)
    told["remedy"] = remedy(told["name"], told["errcode"])["en"]
    if as_json:
        print_json({"failure": told})
    click.echo(f"wxcheck: {told['name']}: {told['said']}", err=True)
    click.echo(f"Remedy: {told['remedy']}", err=True)
    sys.exit(COULD_NOT)
