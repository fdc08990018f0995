"""What ``wxcheck doctor`` looks at, and what it says of it: whether Redis loses nothing, and the quotas."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from redis import RedisError

from worker.platform import QuotaNotTold
from worker.redis_health import told
from wxcheck import CheckRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from config.settings import MiniProgram
    from worker.checks import Lane
    from worker.platform import PlatformQuota
    from worker.runtime import Runtime

LANES: tuple[Lane, ...] = ("text", "media")


class Finding(NamedTuple):
    """One thing that was looked at; ``said`` holds the remedy where it is not well."""

    well: bool
    subject: str
    said: str


def examine(runtime: Runtime) -> Iterator[Finding]:
    """Looks at one thing after the other; where the store is away, at nothing further."""
    try:
        for role, client in runtime.redises():
            yield from _redis(role, client)
        for program in runtime.settings.programs.values():
            for lane in LANES:
                yield _lane(runtime, program, lane)
    except RedisError as error:
        said = f"{type(error).__name__}: {error}; start Redis, or set WXCHECK_REDIS_URL"
        yield Finding(False, "the store", " ".join(said.split()))


def _redis(role: str, client: Redis) -> Iterator[Finding]:
    """Whether a Redis that holds checks loses none by itself."""
    found = told(client)
    for fault in found:
        yield Finding(False, role, fault)
    if not found:
        yield Finding(True, role, "keeps what it has: appendonly yes, maxmemory-policy noeviction")


def _lane(runtime: Runtime, program: MiniProgram, lane: Lane) -> Finding:
    """Compares a lane's count of today with the platform's; from here on, the higher one counts."""
    subject = f"{program.appid} {lane}"
    per_minute, per_day, _ = runtime.rates.of(program, lane)
    try:
        ours = runtime.quota.counted_today(program, lane)
        theirs = runtime.platform.quota(program.appid, lane)
        runtime.quota.go_by(program, lane, theirs.used)
    except CheckRefused as error:
        return Finding(False, subject, f"not called for the moment, WeChat refuses the appId: {error}")
    except QuotaNotTold as error:
        return Finding(False, subject, f"{ours:,} calls today; WeChat does not tell its count: {error}")
    said = f"{max(ours, theirs.used):,} calls today: {ours:,} counted here, {theirs.used:,} at WeChat"
    faults = [
        f"WXCHECK_{lane.upper()}_PER_{unit.upper()} is {here:,}, and WeChat grants {there:,}: set it to that, or less"
        for unit, here, there in (("minute", per_minute, theirs.per_minute), ("day", per_day, theirs.per_day))
        if there is not None and here > there
    ]
    if faults:
        return Finding(False, subject, "; ".join([said, *faults]))
    return Finding(True, subject, f"{said}; {_granted(per_minute, per_day, theirs)}")


def _granted(per_minute: int, per_day: int, theirs: PlatformQuota) -> str:
    said = f"{per_minute:,} a minute and {per_day:,} a day are sent at most"
    more = (theirs.per_minute or 0) > per_minute or (theirs.per_day or 0) > per_day
    return f"{said}, WeChat grants more" if more else said
