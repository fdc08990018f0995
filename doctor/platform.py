"""Whether the platform answers, takes each Mini Program's secret and this machine's address, and what is left of its
quotas."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests

from board.remedies import remedy
from doctor.finding import Finding, words
from worker.answers import TokenRefused, Unanswered
from worker.permit import Snooze
from worker.platform import QuotaNotTold
from wxcheck import CheckRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.settings import MiniProgram
    from worker.checks import Lane
    from worker.platform import PlatformQuota
    from worker.runtime import Runtime

LANES: tuple[Lane, ...] = ("text", "media")
#: seconds for which the platform is waited for
PATIENCE = 5
#: share of the day's quota of which less is a doubt
LITTLE = 0.1


def examine(runtime: Runtime) -> Iterator[Finding]:
    away = _unreachable(runtime.settings.api_base)
    if away is not None:
        yield away
        return
    yield Finding("ok", "the platform", f"{runtime.settings.api_base} answers")
    for program in runtime.settings.programs.values():
        refused = _refused(runtime, program)
        if refused is not None:
            yield refused
            continue
        yield Finding("ok", f"{program.appid} token", "WeChat takes appId, secret and this machine's address")
        for lane in LANES:
            yield _lane(runtime, program, lane)


def _unreachable(base: str) -> Finding | None:
    """Which step to the platform fails."""
    host = urlsplit(base).hostname or ""
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:
        return Finding(
            "bad", "the platform", f"the name {host} is not resolved: {words(error)}", "see this machine's DNS"
        )
    try:
        requests.get(base, timeout=PATIENCE, allow_redirects=False, stream=True).close()
    except requests.exceptions.SSLError as error:
        return Finding(
            "bad", "the platform", f"TLS with {host} fails: {words(error)}", "see its certificate, and proxies"
        )
    except requests.RequestException as error:
        # its text may be long, and repeats the URL
        said = f"{base} does not answer: {type(error).__name__}"
        return Finding(
            "bad", "the platform", said, "see firewall and proxies; if WeChat itself is away, wait: checks do"
        )
    return None


def _refused(runtime: Runtime, program: MiniProgram) -> Finding | None:
    subject = f"{program.appid} token"
    try:
        runtime.platform.authenticate(program.appid)
    except (TokenRefused, CheckRefused) as error:
        refusal = error if isinstance(error, CheckRefused) else error.answer
        said = f"WeChat refuses the appId: {refusal.errcode} {refusal.errmsg}"
        return Finding("bad", subject, said, remedy("CheckRefused", refusal.errcode)["en"])
    except Unanswered as error:
        return Finding("bad", subject, error.reason, "try again; see the platform's status")
    except Snooze as snooze:
        return Finding("warn", subject, f"held for {snooze.seconds:.0f} s more by WeChat's quota", "wait")
    return None


def _lane(runtime: Runtime, program: MiniProgram, lane: Lane) -> Finding:
    """Compares a lane's count of today with the platform's; from here on, the higher one counts."""
    subject = f"{program.appid} {lane}"
    per_minute, per_day, _ = runtime.rates.of(program, lane)
    try:
        ours = runtime.quota.counted_today(program, lane)
        theirs = runtime.platform.quota(program.appid, lane)
        runtime.quota.go_by(program, lane, theirs.used)
    except CheckRefused as error:
        said = f"not called for the moment, WeChat refuses the appId: {error}"
        return Finding("bad", subject, said, remedy("CheckRefused", error.errcode)["en"])
    except QuotaNotTold as error:
        said = f"{ours:,} calls today; WeChat does not tell its count: {error}"
        return Finding("bad", subject, said, "try again; the checks themselves may work")
    used = max(ours, theirs.used)
    said = f"{used:,} calls today: {ours:,} counted here, {theirs.used:,} at WeChat"
    faults = [
        f"WXCHECK_{lane.upper()}_PER_{unit.upper()} is {here:,}, and WeChat grants {there:,}"
        for unit, here, there in (("minute", per_minute, theirs.per_minute), ("day", per_day, theirs.per_day))
        if there is not None and here > there
    ]
    if faults:
        return Finding("bad", subject, "; ".join([said, *faults]), "set it to that, or less")
    if used >= per_day:
        opens = "nothing is sent until midnight in Shanghai"
        return Finding("bad", subject, f"{said}: the day's quota of {per_day:,} is gone; {opens}", _MORE)
    if used > per_day * (1 - LITTLE):
        return Finding("warn", subject, f"{said}: less than a tenth of the day's {per_day:,} is left", _MORE)
    return Finding("ok", subject, f"{said}; {_granted(per_minute, per_day, theirs)}")


_MORE = "ask WeChat for a larger quota, or send less: other programs with this appId spend it too"


def _granted(per_minute: int, per_day: int, theirs: PlatformQuota) -> str:
    said = f"{per_minute:,} a minute and {per_day:,} a day are sent at most"
    more = (theirs.per_minute or 0) > per_minute or (theirs.per_day or 0) > per_day
    return f"{said}, WeChat grants more" if more else said
