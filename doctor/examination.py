"""The order in which things are looked at: what explains others comes before them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.settings import Settings, SettingsError, load_settings
from config.store import STORE_AWAY
from doctor.finding import Finding, words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from worker.runtime import Runtime


def examine(push_url: str | None = None) -> Iterator[Finding]:
    """Looks at one thing after the other. ``push_url``: in place of ``PUSH_URL``."""
    from doctor.settings import doubts

    try:
        settings = load_settings("worker")
    except SettingsError as error:
        for line in str(error).splitlines():
            if line.startswith("  - "):
                yield Finding("bad", "settings", line.removeprefix("  - "), "see the table of settings in README.md")
        return
    yield from doubts(settings)
    yield from _of_a_system(settings, push_url)


def _of_a_system(settings: Settings, push_url: str | None) -> Iterator[Finding]:
    from doctor import broker, clock, lately, platform, push, queues, redis
    from worker.runtime import runtime

    looks: list[tuple[str, Callable[[Runtime], Iterable[Finding]]]] = [
        ("Redis", redis.examine),
        ("the broker", broker.examine),
        ("clocks", clock.examine),
        ("queues", queues.examine),
        ("the platform", platform.examine),
        ("the push URL", lambda runtime: push.examine(runtime, push_url)),
        ("lately", lately.examine),
    ]
    for subject, look in looks:
        try:
            yield from look(runtime())
        except STORE_AWAY as error:
            place = settings.redis_url.rsplit("@", 1)[-1]
            remedy = "start Redis, or set WXCHECK_REDIS_URL to the one that runs; nothing further was looked at"
            yield Finding("bad", "the store", f"{words(error)} ({place})", remedy)
            return
        except Exception as error:  # noqa: BLE001 - the other looks are worth having
            yield Finding(
                "bad", subject, f"could not be looked at: {words(error)}", "report it, it is a fault of wxcheck"
            )
