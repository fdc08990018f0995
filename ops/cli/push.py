"""``wxcheck push trigger``: sends a push, as WeChat would, and says what the answer means."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from ops.cli import options
from ops.cli.app import program_of
from ops.cli.asking import ask
from ops.cli.exits import NO, WELL, fail
from ops.cli.listen import listen
from ops.output import print_json
from status.words import printable

if TYPE_CHECKING:
    from config.settings import MiniProgram, Settings
    from ops.cli.arrival import Arrival
    from ops.cli.trigger import Request

#: seconds for which WeChat waits for an answer
ANSWER_SECONDS = 5
#: characters of an answer that are shown
SHOWN = 200


@click.group()
def push() -> None:
    """WeChat's message push: sends one for trying, shows what arrives."""


push.add_command(listen)


@push.command()
@click.argument(
    "what",
    type=click.Choice(["pass", "review", "risky", "unfetchable", "event", "url-check"]),
    default="pass",
)
@click.option("--url", help="The push URL; by default the endpoint of these settings, without a proxy before it.")
@click.option("--appid", help="Whose push it is, where it is not the default Mini Program's.")
@click.option("--version", type=click.Choice(["1", "2"]), default="2", show_default=True, help="Of the verdict.")
@click.option("--trace-id", help="Of a check that waits: it ends with this verdict. By default a made-up one.")
@click.option(
    "--mode", type=click.Choice(["secure", "compatible", "plain"]), help="By default secure where a key is set."
)
@click.option("--format", "form", type=click.Choice(["json", "xml"]), default="json", show_default=True)
@click.option(
    "--fault",
    type=click.Choice(["signature", "timestamp", "key", "appid", "trace-id", "body"]),
    help="What is wrong with it, to see it refused: signed with another Token; 11 minutes old; encrypted with another "
    "key; another Mini Program's; no trace_id; neither JSON nor XML.",
)
@options.dry_run
@options.yes
@options.as_json
def trigger(
    what: Any,
    url: str | None,
    appid: str | None,
    version: str,
    trace_id: str | None,
    mode: Any,
    form: Any,
    fault: Any,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Sends a push to an endpoint, signed as WeChat would, and says what the answer means. WHAT is pass (the default),
    review, risky or unfetchable, a verdict; event, another message; url-check, WeChat's check of the push URL.

    The verdict of a made-up trace_id ends no check: it is kept for ten minutes, then counted as push_orphaned.

    Exit codes: 0 answered as it should be (a good push taken, a wrong one refused), 1 answered otherwise, 2 not
    answered.

    \b
    wxcheck push trigger
    wxcheck push trigger url-check --url https://push.example.com/wechat/push
    wxcheck push trigger risky --format xml --version 1
    wxcheck push trigger --fault signature; test $? = 0 && echo "refused, as it should be"
    """
    from config.settings import load_settings
    from ops.cli.arrival import arrived
    from ops.cli.trigger import request_of

    settings = load_settings("endpoint")
    program = program_of(settings, appid)
    if what == "review" and version == "1":
        raise click.UsageError("version 1 knows no review")
    mode = mode or ("secure" if program.push_aes_key is not None else "plain")
    if mode != "plain" and program.push_aes_key is None:
        raise click.UsageError(f"--mode {mode} needs WXCHECK_PUSH_AES_KEY")
    if fault == "key" and mode == "plain":
        raise click.UsageError("--fault key: a plain push is not encrypted")
    if fault == "trace-id" and what in ("event", "url-check"):
        raise click.UsageError(f"--fault trace-id: {what} has none")
    url = url or _url(settings, program)
    request = request_of(what, program, version=int(version), trace_id=trace_id, mode=mode, form=form, fault=fault)
    expected = arrived(program, request.method, _params(request.query), request.body, time.time())
    sent = {"what": what, "appid": program.appid, "trace_id": request.trace_id, "fault": fault}
    if request.method == "POST":
        sent |= {"mode": mode, "format": form, "version": int(version) if what != "event" else None}
    if dry_run:
        if as_json:
            due = {"status": expected.status, "body": expected.answer}
            print_json({"would_send": sent, "to": url, "expected": due})
        else:
            click.echo(f"{_line(request, url, sent)} would be sent, and should be answered {_answer_of(expected)}")
        return
    if trace_id is not None and fault is None and what not in ("event", "url-check"):
        ask(f"A check of {program.appid} that waits for {trace_id} ends with this verdict. Send it?", yes=yes)
    status, answer, seconds = _send(request, url)
    well = (status, answer) == (expected.status, expected.answer)
    meaning, remedy = _meaning(status, answer, expected, made_up=trace_id is None, is_faulty=fault is not None)
    if as_json:
        print_json(
            {
                "to": url,
                "sent": sent,
                "answer": {"status": status, "body": _shown(answer), "seconds": seconds},
                "expected": {"status": expected.status, "body": expected.answer},
                "well": well,
                "meaning": meaning,
                "remedy": remedy,
            }
        )
    else:
        click.echo(_line(request, url, sent))
        colour = click.style(f"{status} {_shown(answer)}", fg="green" if well else "red", bold=True)
        click.echo(f"answered {colour}, after {seconds:.3f} s")
        click.echo(f"{meaning}.")
        if not well:
            click.echo(f"By these settings it should be {_answer_of(expected)}.")
        if remedy:
            click.echo(f"Remedy: {remedy}.")
    sys.exit(WELL if well else NO)


def _url(settings: Settings, program: MiniProgram) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.callback_host, settings.callback_host)  # noqa: S104 - it is replaced
    shown = f"[{host}]" if ":" in host else host
    path = "" if program.appid == settings.default_appid else f"/{program.appid}"
    return f"http://{shown}:{settings.callback_port}/wechat/push{path}"


def _params(query: str) -> list[tuple[str, str]]:
    from urllib.parse import parse_qsl

    return parse_qsl(query, keep_blank_values=True)


def _line(request: Request, url: str, sent: dict[str, Any]) -> str:
    said = [sent["what"]]
    if request.method == "POST":
        said += [sent["mode"], sent["format"]]
    said += [f"version {sent['version']}"] if sent.get("version") else []
    said += [f"trace_id {request.trace_id}"] if request.trace_id else []
    said += [f"with a wrong {sent['fault']}"] if sent["fault"] else []
    return f"{request.method} {url}  ({', '.join(said)})"


def _shown(answer: str) -> str:
    return printable(answer[:SHOWN])


def _answer_of(arrival: Arrival) -> str:
    return f"{arrival.status} {printable(arrival.answer)}"


def _send(request: Request, url: str) -> tuple[int, str, float]:
    """Send a request. Return status, body and seconds of the answer."""
    import requests

    headers = {"Content-Type": request.content_type} if request.content_type else {}
    whole = f"{url}{'&' if '?' in url else '?'}{request.query}"
    began = time.monotonic()
    try:
        answer = requests.request(
            request.method, whole, data=request.body, headers=headers, timeout=ANSWER_SECONDS, allow_redirects=False
        )
    except requests.RequestException as error:
        # the error's text holds the query
        why = "does not answer within 5 s, as WeChat wants it" if isinstance(error, requests.Timeout) else "no answer"
        if isinstance(error, requests.exceptions.SSLError):
            why = "its certificate is not valid for this host"
        if isinstance(error, (requests.exceptions.MissingSchema, requests.exceptions.InvalidURL)):
            why = "it is no http(s) URL"
        fail(f"{url}: {why} ({type(error).__name__}). Does the endpoint run there: python -m callbacks?")
    return answer.status_code, answer.text, round(time.monotonic() - began, 3)


def _meaning(status: int, answer: str, expected: Arrival, *, made_up: bool, is_faulty: bool) -> tuple[str, str | None]:
    """Return the meaning of an answer, and the remedy."""
    from wechat.push.outcomes import Refusal

    if (status, answer) == (200, "success"):
        if expected.outcome != "queued":
            return "taken: no verdict, so it is counted and dropped", None
        after = "; no check has this trace_id, so it is counted as push_orphaned in ten minutes"
        return f"taken: it is on the queue{after if made_up else ''}", None
    if expected.outcome == "url_check" and (status, answer) == (200, expected.answer):
        return "the push URL is right: WeChat would save it", None
    for refusal in Refusal.__subclasses__():
        if (status, answer) == (refusal.status, refusal.outcome):
            as_it_should = expected.outcome == refusal.outcome
            said = f"refused as {refusal.outcome}{', as it should be' if as_it_should else ''}"
            return said, None if as_it_should and is_faulty else refusal.remedy
    if 300 <= status < 400:
        return "a redirect, which WeChat does not follow", "give WeChat the URL that it leads to"
    return "no answer of wxcheck's endpoint", "see where the URL leads: another server, or a proxy that blocks"
