"""The Mini Programs that the sandbox answers for: those of the settings, or one for demonstrations."""

from __future__ import annotations

from config.settings import PREFIX, MiniProgram, Settings

#: A Mini Program that exists nowhere, as environment variables. Sandbox, workers and endpoint started with these fit
#: together; the sandbox takes them by itself if no Mini Program is configured. No secrets: they open nothing.
DEMO_ENVIRONMENT: dict[str, str] = {
    "WXCHECK_APPID": "wx5a4dbeefdeadc0de",
    "WXCHECK_SECRET": "00000000demo0000secret0000000000",
    "WXCHECK_PUSH_TOKEN": "sandboxDemoToken",
    "WXCHECK_PUSH_AES_KEY": "SandboxDemoKeySandboxDemoKeySandboxDemoKeyA",
}


def programs_of(settings: Settings) -> tuple[dict[str, MiniProgram], str | None, bool]:
    """Return the Mini Programs by appId, the default appId, and True if they are the demonstration's.

    The demonstration's Mini Program takes its quotas from ``settings``.
    """
    if settings.programs:
        return settings.programs, settings.default_appid, False
    own = {name.removeprefix(PREFIX).lower(): value for name, value in DEMO_ENVIRONMENT.items()}
    shared = {
        name: getattr(settings, name)
        for name in ("push_plain_allowed", "text_per_minute", "text_per_day", "media_per_minute", "media_per_day")
    }
    program = MiniProgram.model_validate({**own, **shared})
    return {program.appid: program}, program.appid, True
