"""The look at the platform: its answer, each Mini Program's secret, this machine's address, and the quotas left."""

from __future__ import annotations

import re
import time
from functools import partial
from typing import TYPE_CHECKING

import requests

from config.days import DAY, seconds_of_day
from config.lanes import LANES
from ops.doctor.finding import Finding
from ops.doctor.network import Step, failed_step
from ops.doctor.side_by_side import side_by_side
from status.remedies import remedy
from wechat.answers import Answer, TokenRefused, Unanswered
from wechat.http import Http
from wechat.quotas import QuotaNotTold
from wechat.token_calls import TokenCalls
from wxcheck import CheckRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.lanes import Lane
    from config.settings import MiniProgram, Settings
    from wechat.quotas import PlatformQuota
    from worker.runtime import Runtime

#: most seconds to wait for one answer of the platform
PATIENCE = 4
#: seconds for all Mini Programs, once the platform has answered
PROGRAMS = 7.0
#: share of the day's quota below which the rest is a doubt
LITTLE = 0.1

_AWAY = "; if WeChat itself is away, wait: checks are tried again"
_REMEDIES = {
    Step.PROXY: "mend the proxy, or unset these variables for wxcheck",
    Step.NAME: "see this machine's DNS, and WXCHECK_API_BASE",
    Step.REFUSED: "see WXCHECK_API_BASE, and whether a firewall refuses it" + _AWAY,
    Step.UNREACHABLE: "see this machine's network and its way out",
    Step.TLS: "see this machine's clock and its CA certificates, and whether a proxy opens TLS",
    Step.TIMEOUT: "let this machine through the firewall" + _AWAY,
    Step.LOST: "see firewall and proxies" + _AWAY,
    Step.OTHER: "see WXCHECK_API_BASE, firewall and proxies",
}
_MORE = "ask WeChat for a larger quota, or send less: other programs with this appId spend it too"
_INVALID_IP = re.compile(r"invalid ip ([0-9A-Fa-f.:]+)")


def examine(runtime: Runtime) -> Iterator[Finding]:
    settings = runtime.settings
    away = _unreachable(settings.api_base)
    if away is not None:
        yield away
        return
    yield Finding("ok", "the platform", f"{settings.api_base} answers")
    looks = [(program.appid, partial(_program, runtime, program)) for program in settings.programs.values()]
    yield from side_by_side(looks, PROGRAMS)


def _unreachable(base: str) -> Finding | None:
    """Return the finding about the step to the platform that fails; None if none does."""
    try:
        requests.get(base, timeout=PATIENCE, allow_redirects=False, stream=True).close()
    except requests.RequestException as error:
        step, said = failed_step(error)
        return Finding("bad", "the platform", f"{base} does not answer: {said}", _REMEDIES[step])
    return None


def _program(runtime: Runtime, program: MiniProgram) -> Iterator[Finding]:
    token = _token(runtime, program)
    yield token
    if token.well:
        for lane in LANES:
            yield _lane(runtime, program, lane)


def _token(runtime: Runtime, program: MiniProgram) -> Finding:
    """Return the finding about the signing of calls. A living token is not renewed, since others use it."""
    subject, settings = f"{program.appid} token", runtime.settings
    if settings.token_source == "none":
        return Finding("skipped", subject, "none is needed: TOKEN_SOURCE is none, cloud hosting signs the calls")
    try:
        if settings.token_source == "stable":
            # even if the store has a token, which another machine may have fetched: WeChat gives the same again
            http = Http(settings.api_base, min(settings.api_timeout, PATIENCE))
            TokenCalls(http, settings).fetch(program.appid)
            return Finding("ok", subject, "WeChat takes appId, secret and this machine's address")
        runtime.calls.authenticate(program.appid)
    except TokenRefused as error:
        return refused(subject, error.answer)
    except CheckRefused as error:
        return refused(subject, error)
    except Unanswered as error:
        return Finding("bad", subject, error.reason, _unanswered(error.reason))
    if settings.token_source == "cloudbase":
        return Finding("ok", subject, "CLOUDBASE_TOKEN_FILE holds one")
    return Finding("ok", subject, "one is at hand; it is not fetched anew, for that would end the one before")


def refused(subject: str, refusal: Answer | CheckRefused) -> Finding:
    """Return the finding about an appId that the platform refuses. Pure."""
    mend = remedy("CheckRefused", refusal.errcode)["en"]
    if refusal.errcode == 40164 and (address := _INVALID_IP.search(refusal.errmsg)) is not None:
        mend = f"Put {address[1]}, this machine's public IP, on the appId's IP list at mp.weixin.qq.com."
    return Finding("bad", subject, f"WeChat refuses the appId: {refusal.errcode} {refusal.errmsg}", mend)


def _unanswered(reason: str) -> str:
    if reason.startswith("CLOUDBASE_TOKEN_FILE"):
        return "set it to the file that cloud hosting keeps fresh, and let this user read it"
    if "HTTP" in reason:
        return "something else than WeChat answers, a proxy or WXCHECK_API_BASE; or WeChat is in trouble: look again"
    return "see firewall and proxies, and look again" + _AWAY


def _lane(runtime: Runtime, program: MiniProgram, lane: Lane) -> Finding:
    """Compare a lane's count of today with the platform's. From here on, the higher count holds."""
    subject = f"{program.appid} {lane}"
    per_minute, per_day, _ = runtime.rates.of(program, lane)
    ours = 0
    try:
        ours = runtime.closings.counted_today(program.appid, lane)
        theirs = runtime.calls.quota(program.appid, lane)
        runtime.closings.counted_today(program.appid, lane, theirs.used)
    except CheckRefused as error:
        said = f"not called for the moment, WeChat refuses the appId: {error}"
        return Finding("bad", subject, said, remedy("CheckRefused", error.errcode)["en"])
    except QuotaNotTold as error:
        said = f"{ours:,} calls today; WeChat does not tell its count: {error}"
        return Finding("bad", subject, said, _not_told(runtime.settings))
    return quota_told(subject, lane, ours, theirs, (per_minute, per_day), time.time())


def _not_told(settings: Settings) -> str:
    if settings.token_source == "none":
        return "does wxcheck run in cloud hosting, with its open-interface service on? Else set WXCHECK_TOKEN_SOURCE"
    return "look again; the checks themselves may work"


def quota_told(
    subject: str, lane: Lane, ours: int, theirs: PlatformQuota, set_here: tuple[int, int], now: float
) -> Finding:
    """Return the finding about a lane. Pure.

    ``ours``: calls of today by our own count. ``set_here``: most calls to send in a minute and in a day.
    ``now``: seconds since the epoch.
    """
    per_minute, per_day = set_here
    used = max(ours, theirs.used)
    said = f"{used:,} calls today: {ours:,} counted here, {theirs.used:,} at WeChat"
    faults = [
        f"WXCHECK_{lane.upper()}_PER_{unit.upper()} is {here:,}, and WeChat grants {there:,}"
        for unit, here, there in (("minute", per_minute, theirs.per_minute), ("day", per_day, theirs.per_day))
        if there is not None and here > there
    ]
    if faults:
        return Finding("bad", subject, "; ".join([said, *faults]), "set it to that, or less")
    opens = f"until midnight in Shanghai, in {_until_midnight(now)}"
    if used >= per_day:
        return Finding(
            "bad", subject, f"{said}: the day's quota of {per_day:,} is gone, nothing is sent {opens}", _MORE
        )
    if used > per_day * (1 - LITTLE):
        left = f"{per_day - used:,} of the day's {per_day:,} are left {opens}"
        return Finding("warn", subject, f"{said}: {left}", _MORE)
    return Finding("ok", subject, f"{said}; {_granted(per_minute, per_day, theirs)}")


def _until_midnight(now: float) -> str:
    minutes = int((DAY - seconds_of_day(now)) / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def _granted(per_minute: int, per_day: int, theirs: PlatformQuota) -> str:
    said = f"{per_minute:,} a minute and {per_day:,} a day are sent at most"
    more = (theirs.per_minute or 0) > per_minute or (theirs.per_day or 0) > per_day
    return f"{said}, WeChat grants more" if more else said
