"""The Celery app and the Mini Program of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celery import Celery

    from config.settings import MiniProgram, Settings


def celery_app() -> Celery:
    """Return the workers' app, with which checks are sent."""
    from worker.celery import app

    app.set_default()
    return app


def program_of(settings: Settings, appid: str | None) -> MiniProgram:
    """Return the Mini Program with ``appid``, or the default one."""
    appid = appid or settings.default_appid
    if appid is None:
        raise click.UsageError("say --appid: no default Mini Program is set")
    if appid not in settings.programs:
        raise click.UsageError(f"{appid} is not set (WXCHECK_APPID, WXCHECK_APPS); {there_are(settings.programs)}")
    return settings.programs[appid]


def must_exist(appid: str | None) -> None:
    """End the command if no check can be of ``appid``: neither settings nor store know it."""
    from config.settings import load_settings
    from worker.runtime import runtime

    programs = load_settings().programs
    if appid is None or appid in programs:
        return
    lanes = cast("list[str]", runtime().store.hkeys(runtime().shard.key("known")))
    known = dict.fromkeys([*programs, *sorted(lane.rpartition(":")[0] for lane in lanes if ":" in lane)])
    if appid not in known:
        raise click.UsageError(f"--appid: no check is of {appid}; {there_are(known)}")


def there_are(names: Iterable[str]) -> str:
    """Return the sentence that lists the known names, for a name that does not exist."""
    return f"there are: {', '.join(names) or 'none'}"
