"""The look at the settings: wrong ones, and allowed ones that are worth a second look."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

from ops.doctor.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.settings import Settings


#: directory from which every process reads settings, too
_FILE = Path(".env")


def faults(message: str) -> Iterator[Finding]:
    """Yield a finding for each fault in the message of a :class:`config.settings.SettingsError`."""
    listed = [line.removeprefix("  - ") for line in message.splitlines() if line.startswith("  - ")]
    for fault in listed:
        yield Finding("bad", "settings", fault, "see docs/settings.md; nothing further was looked at")
    if not listed:
        said = message.removeprefix("wxcheck cannot start: ")
        yield Finding("bad", "settings", said, "let this user read it, and save it as UTF-8")


def doubts(settings: Settings) -> Iterator[Finding]:
    """Yield the settings that are allowed, but have a price."""
    found = [*_pushes(settings), *_one_redis(settings), *_dead_letters(settings), *_file()]
    if not found:
        yield Finding("ok", "settings", f"complete, for {', '.join(settings.programs)}")
    yield from found


def _pushes(settings: Settings) -> Iterator[Finding]:
    for program in settings.programs.values():
        if program.push_token is None:
            yield Finding(
                "warn",
                f"{program.appid} settings",
                "no PUSH_TOKEN here: an endpoint with these settings does not start",
                "set it, unless endpoints have settings of their own",
            )
        elif program.push_aes_key is None:
            yield Finding(
                "warn",
                f"{program.appid} settings",
                "no PUSH_AES_KEY: the signature of a plain push does not cover its body, so it can be altered",
                "choose secure mode in the message-push settings, and set PUSH_AES_KEY",
            )
        if program.push_aes_key_previous is not None:
            yield Finding(
                "warn",
                f"{program.appid} settings",
                "PUSH_AES_KEY_PREVIOUS is set still",
                "remove it when the change of the key is over",
            )


def _one_redis(settings: Settings) -> Iterator[Finding]:
    if not settings.is_one_redis:
        yield Finding(
            "warn",
            "settings",
            "broker, results and store are not one Redis: what follows a check may be published twice where a worker "
            "dies while it ends it",
            "leave BROKER_URL and RESULT_BACKEND out, or make follow-ups safe to repeat",
        )


def _dead_letters(settings: Settings) -> Iterator[Finding]:
    if not settings.dead_letter_days:
        yield Finding(
            "warn", "settings", "DEAD_LETTER_DAYS is 0: no failed check can be replayed", "set it to 7, for example"
        )


def _file() -> Iterator[Finding]:
    try:
        mode = _FILE.stat().st_mode
    except OSError:
        return  # there is none, and none is needed
    if mode & stat.S_IROTH:
        yield Finding("warn", "settings", ".env can be read by every user of this machine", "chmod 600 .env")
