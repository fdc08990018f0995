"""``wxcheck doctor``: what is wrong, and the remedy."""

from __future__ import annotations

import sys

import click

from cli.exits import NO, WELL
from cli.output import print_json

_MARKS = {"ok": ("OK", "green"), "warn": ("! ", "yellow"), "bad": ("!!", "red"), "skipped": ("--", "blue")}


@click.command()
@click.option("--push-url", metavar="URL", help="Of the default Mini Program, in place of WXCHECK_PUSH_URL.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(push_url: str | None, as_json: bool) -> None:
    """Looks at everything that checks need: settings, Redis, broker, clocks, queues and who consumes them, the
    platform, each Mini Program's secret, IP list and quotas, and the push URL. Each line says OK, or what is wrong, and
    below it what to do.

    Where WeChat counts more calls than are counted here, for other programs spend the same quota, its count is gone by
    from then on.

    Exit codes: 0 nothing is wrong (there may be doubts), 1 something is.

    \b
    wxcheck doctor
    wxcheck doctor --push-url https://push.example.com/wechat/push
    wxcheck doctor --json | jq '.[] | select(.level == "bad")'
    """
    from doctor.examination import examine

    findings = []
    for finding in examine(push_url):
        findings.append(finding)
        if as_json:
            continue
        mark, colour = _MARKS[finding.level]
        click.echo(f"{click.style(mark, fg=colour, bold=True)}  {finding.subject}: {finding.said}")
        if finding.remedy:
            click.echo(f"      {finding.remedy}")
    bad = sum(not finding.well for finding in findings)
    if as_json:
        print_json([finding.told() for finding in findings])
    else:
        click.echo(f"{bad} of {len(findings)} are wrong." if bad else "Nothing is wrong.")
    sys.exit(NO if bad else WELL)
