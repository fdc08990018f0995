"""``wxcheck doctor``: what is wrong, and the remedy."""

from __future__ import annotations

import sys

import click

from cli.exits import NO, WELL
from cli.output import print_json


@click.command()
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
    from config.settings import load_settings
    from worker.doctor import examine
    from worker.runtime import runtime

    load_settings("worker")
    findings = []
    for finding in examine(runtime()):
        findings.append(finding)
        if not as_json:
            click.echo(f"{'OK' if finding.well else '!!'}  {finding.subject}: {finding.said}")
    if as_json:
        print_json([finding._asdict() for finding in findings])
    sys.exit(WELL if all(finding.well for finding in findings) else NO)
