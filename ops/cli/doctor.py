"""``wxcheck doctor``: each fault, with its remedy."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ops.cli.exits import NO, WELL, described, fail
from ops.output import print_json
from status.words import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ops.doctor.finding import Finding

_MARKS = {"ok": ("OK", "green"), "warn": ("! ", "yellow"), "bad": ("!!", "red"), "skipped": ("--", "blue")}


def _url(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    from config.settings import http_url

    try:
        return None if value is None else http_url(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _all(findings: Iterator[Finding]) -> Iterator[Finding]:
    """End the command if the examination itself cannot go on, which is no answer about the system."""
    try:
        yield from findings
    except Exception as error:  # noqa: BLE001 - a traceback would end with the code for "something is wrong"
        fail(f"could not look on: {described(error)}")


@click.command()
@click.option(
    "--push-url",
    metavar="URL",
    callback=_url,
    help="Of the default Mini Program, in place of WXCHECK_PUSH_URL.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(push_url: str | None, as_json: bool) -> None:
    """Looks at everything that checks need: settings, Redis, broker, clocks, queues and who consumes them, the
    platform, each Mini Program's secret, IP list and quotas, and the push URL. Each line says OK, or what is wrong, and
    below it what to do.

    Where WeChat counts more calls than are counted here, for other programs spend the same quota, its count is gone by
    from then on.

    Exit codes: 0 nothing is wrong (there may be doubts), 1 something is, 2 it could not look.

    \b
    wxcheck doctor
    wxcheck doctor --push-url https://push.example.com/wechat/push
    wxcheck doctor --json | jq '.[] | select(.level == "bad")'
    """
    from ops.doctor.examination import examine

    findings = []
    for finding in _all(examine(push_url)):
        findings.append(finding)
        if as_json:
            continue
        mark, colour = _MARKS[finding.level]
        # the findings quote servers' own words
        said = printable(f"{finding.subject}: {finding.said}")
        click.echo(f"{click.style(mark, fg=colour, bold=True)}  {said}")
        if finding.remedy:
            click.echo(f"      {printable(finding.remedy)}")
    bad = sum(not finding.well for finding in findings)
    doubtful = sum(finding.level == "warn" for finding in findings)
    if as_json:
        print_json([finding.told() for finding in findings])
    else:
        wrong = f"{bad} of {len(findings)} are wrong" if bad else "Nothing is wrong"
        click.echo(wrong + (f", {doubtful} doubtful." if doubtful else "."))
    sys.exit(NO if bad else WELL)
