"""``wxcheck config``: the settings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import click

from ops.cli import options
from ops.output import print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.settings import Settings

MASK = "**********"
#: URLs that may hold a password; an unset one has the value of the first
_URLS = ("redis_url", "broker_url", "result_backend", "api_base")
#: up to the last "@", since a password may hold one
_PASSWORD = re.compile(r"(://[^:/@;]*):[^;]*@")
_IN_QUERY = re.compile(r"([?&][^=&;]*(?:passw|secret|token|key)[^=&;]*=)[^&;]*", re.IGNORECASE)


class Shown(NamedTuple):
    """A setting in the form that may be shown."""

    name: str
    value: str
    #: environment | .env | secrets file | default
    origin: str


@click.group()
def config() -> None:
    """The settings."""


@config.command()
@options.as_json
def show(as_json: bool) -> None:
    """Lists every setting, its value and where it came from: environment, .env, secrets file or default. Secrets are
    masked. What is wrong with them is said instead, each fault at once.

    Exit codes: 0 listed, 1 they are wrong.

    \b
    wxcheck config show
    wxcheck config show --json | jq -r .WXCHECK_APPID.value
    """
    from config.settings import load_settings

    shown = list(_shown(load_settings()))
    if as_json:
        print_json(
            {
                setting.name: {
                    "value": setting.value,
                    "set": setting.origin != "default",
                    "from": setting.origin,
                }
                for setting in shown
            }
        )
        return
    print_table(["setting", "value", "from"], [list(setting) for setting in shown])


#: secrets that a process does not need
_NEEDLESS = {
    "endpoint": ("secret",),
    "board": ("secret", "push_token", "push_aes_key", "push_aes_key_previous"),
}


@config.command()
@click.argument("process", type=click.Choice(list(_NEEDLESS)))
@options.as_json
def apps(process: str, as_json: bool) -> None:  # noqa: ARG001 - it prints JSON in any case
    """Prints APPS, on one line of JSON, without the secrets that PROCESS needs nothing of; the others are in the clear.

    Exit codes: 0 printed, 1 the settings are wrong.

    \b
    wxcheck config apps endpoint > secrets/endpoint/wxcheck_apps
    """
    from pydantic import SecretStr

    from config.settings import load_settings

    entries = {
        appid: {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in entry.model_dump(exclude_none=True).items()
            if name not in _NEEDLESS[process]
        }
        for appid, entry in load_settings().apps.items()
    }
    print_json(entries)


def _shown(settings: Settings) -> Iterator[Shown]:
    from config.settings import PREFIX, origins

    found = origins()
    for name in type(settings).model_fields:
        value, origin = getattr(settings, name), found.get(name, "default")
        if name == "apps":
            yield Shown(f"{PREFIX}APPS", ", ".join(value), origin)
            for appid, entry in value.items():
                for key, own in entry.model_dump(exclude_none=True).items():
                    yield Shown(f"{PREFIX}APPS.{appid}.{key}", str(own), origin)
            continue
        if name in _URLS:
            value = masked(value or settings.redis_url)
        yield Shown(PREFIX + name.upper(), "" if value is None else str(value), origin)


def masked(url: str) -> str:
    """Return a URL, or several with semicolons between them, without passwords."""
    return _IN_QUERY.sub(rf"\1{MASK}", _PASSWORD.sub(rf"\1:{MASK}@", url))
