"""The Celery app, for commands that send something, and the Mini Program that is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celery import Celery

    from config.settings import MiniProgram, Settings


def celery_app() -> Celery:
    """The app of the workers, as the one that signatures are sent with."""
    from worker.celery import app

    app.set_default()
    return app


def program_of(settings: Settings, appid: str | None) -> MiniProgram:
    """The Mini Program that is meant."""
    appid = appid or settings.default_appid
    if appid is None:
        raise click.UsageError("say --appid: no default Mini Program is set")
    if appid not in settings.programs:
        raise click.UsageError(f"{appid} is not set (WXCHECK_APPID, WXCHECK_APPS); {there_are(settings.programs)}")
    return settings.programs[appid]


def must_exist(appid: str | None) -> None:
    """Ends the command where no check can be of ``appid``: it is not set, and the store has not seen it either."""
    from config.settings import load_settings
    from store import keys
    from worker.runtime import runtime

    programs = load_settings().programs
    if appid is None or appid in programs:
        return
    lanes = cast("list[str]", runtime().store.hkeys(keys.LANES))
    known = dict.fromkeys([*programs, *sorted(lane.rpartition(":")[0] for lane in lanes if ":" in lane)])
    if appid not in known:
        raise click.UsageError(f"--appid: no check is of {appid}; {there_are(known)}")


def there_are(names: Iterable[str]) -> str:
    """What there is, where something was named that is not."""
    return f"there are: {', '.join(names) or 'none'}"
