"""The Celery app, for commands that send something, and the Mini Program that is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from celery import Celery

    from config.settings import MiniProgram, Settings


def celery_app() -> Celery:
    """The app of the workers, as the one that signatures are sent with."""
    from worker.app import app

    app.set_default()
    return app


def program_of(settings: Settings, appid: str | None) -> MiniProgram:
    """The Mini Program that is meant."""
    appid = appid or settings.default_appid
    if appid is None:
        raise click.UsageError("say --appid: no default Mini Program is set")
    if appid not in settings.programs:
        raise click.UsageError(f"{appid} is not set: WXCHECK_APPID or WXCHECK_APPS")
    return settings.programs[appid]
