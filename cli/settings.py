"""``wxcheck config show``: every setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.output import print_json, print_table

if TYPE_CHECKING:
    from config.settings import Settings


@click.group()
def config() -> None:
    """The settings."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(as_json: bool) -> None:
    """Lists every setting, and whether it was set; secrets are masked."""
    from config.settings import PREFIX, load_settings

    settings = load_settings()
    rows = [(PREFIX + name.upper(), shown, name in settings.model_fields_set) for name, shown in _shown(settings)]
    if as_json:
        print_json({name: {"value": value, "set": was_set} for name, value, was_set in rows})
        return
    shown = [[name, value, "environment or .env" if was_set else "default"] for name, value, was_set in rows]
    print_table(["setting", "value", "from"], shown)


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
