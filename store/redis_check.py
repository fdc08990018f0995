"""A process tries its rights on Redis at its start, so that a missing right stops the process, not each check.

The message has the ACL line that mends the fault. The rights are asked for within a MULTI that is never executed: Redis
looks at the ACL before it queues a command.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import redis
import redis.exceptions

from config.redis_url import place
from config.settings import SettingsError
from store.connection import connect, run_id
from store.redis_needs import Access, Asking, needs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.settings import Settings

#: seconds for connecting, and for each answer, at the start of a process
PATIENCE = 3


class RedisRefuses(SettingsError):
    """Redis answers, and lets the process do too little; the message has the remedy."""


def check_redis(settings: Settings, process: Asking) -> None:
    """Stop a process that could do nothing with its Redis. A Redis that is away is no fault: its users wait.

    Raises:
        RedisRefuses: a Redis refuses its user, its certificate or a right that ``process`` needs.
    """
    faults = [
        fault
        for url, (setting, access) in needs(settings, process).items()
        for fault in faults_of(url, setting, access)
    ]
    if faults:
        raise RedisRefuses("wxcheck cannot start:\n" + "\n".join(f"  - {fault}" for fault in faults))


def faults_of(url: str, setting: str, access: Access) -> list[str]:
    """Return the refusals of one Redis, each with its remedy; none if Redis is away."""
    where = f"{setting} {place(url)}"
    try:
        with connect(url, PATIENCE, retries=0) as client:
            lacking, unknown = ask(client, access)
            faults = list(_refusals(where, url, lacking, unknown))
            if not faults and "info" in access.commands and not run_id(client):
                faults.append(
                    f"{where} does not tell its run_id (INFO server, in a script): without it nobody sees that Redis "
                    "was restarted or replaced and has forgotten what was sent, and quotas are overrun. Lead the "
                    "setting to Redis itself, past what hides it"
                )
            return faults
    except redis.exceptions.AuthenticationError as error:
        return [
            f"{where} refuses user and password: {error}. Set user and password in {setting}: redis://user:password@host:6379/0"
        ]
    except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError) as error:
        refused = certificate_fault(error)
        if refused is None and _is_plain(url):
            refused = (
                "it speaks no TLS at that port: name its TLS port, or say redis:// where nobody listens in between"
            )
        return [f"{where}: {refused}"] if refused else []


def ask(client: redis.Redis, access: Access) -> tuple[list[str], list[str]]:
    """Return the rules of ``access`` that the user of ``client`` lacks, and the commands that this Redis lacks.

    Raises as redis-py does.
    """
    asked, answers = list(_questions(access)), []
    connection: Any = client.connection_pool.get_connection()
    try:
        refused = _answer(connection, "MULTI")
        if refused is not None:
            return (access.rules(), []) if _is_of_command(refused) else ([], ["multi"])
        if "exec" in access.commands:
            # an EXEC without a command does nothing
            answers = [("+exec", _answer(connection, "EXEC"))]
            if answers[0][1] is None:
                _answer(connection, "MULTI")
        connection.send_packed_command(connection.pack_commands([question for _, question in asked]))
        answers += [(rule, _read(connection)) for rule, _ in asked]
    finally:
        # disconnecting ends the transaction
        connection.disconnect()
        client.connection_pool.release(connection)
    lacking = [rule for rule, answer in answers if _is_of_command(answer) or (answer and rule[0] in "~&")]
    unknown = [rule[1:] for rule, answer in answers if rule[0] == "+" and "unknown" in (answer or "").lower()]
    return lacking, unknown


def certificate_fault(error: BaseException | None) -> str | None:
    """Return the fault in the TLS of a Redis if ``error`` comes from TLS, else None."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return (
                f"its certificate is not accepted: {error.verify_message or error.reason}. Name the authority that "
                "signed it by ssl_ca_certs=/path/to/ca.pem in the URL, and the host as the certificate does"
            )
        if isinstance(error, ssl.SSLError):
            return f"TLS fails: {error.reason or error}. Does a TLS port answer there, and does it want a certificate?"
        error = error.__cause__ or error.__context__
    return None


def _is_plain(url: str) -> bool:
    """True if a Redis with a TLS URL answers without TLS. Sends no user and no password."""
    parts = urlsplit(url)
    if parts.scheme != "rediss":
        return False
    try:
        with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 6379), PATIENCE) as plain:
            plain.settimeout(PATIENCE)
            plain.sendall(b"PING\r\n")
            return plain.recv(1) in (b"+", b"-")
    except OSError:
        return False


#: arguments of each command that a key alone does not suit
_SAMPLES: dict[str, tuple[str, ...]] = {
    "blmove": ("{key}", "{key}", "RIGHT", "RIGHT", "0.1"),
    "eval": ("return 1", "0"),
    "evalsha": ("0" * 40, "0"),
    "info": ("server",),
    "script|exists": ("0" * 40,),
    "script|load": ("return 1",),
    "select": ("0",),
    "setrange": ("{key}", "0", "v"),
    "hincrby": ("{key}", "f", "1"),
    **dict.fromkeys(("ping", "time"), ()),
    **dict.fromkeys(("psubscribe", "punsubscribe", "subscribe", "unsubscribe"), ("{channel}",)),
    "publish": ("{channel}", "m"),
    **dict.fromkeys(("blpop", "brpop"), ("{key}", "0.1")),
    **dict.fromkeys(("decrby", "expire", "incrby", "pexpire"), ("{key}", "1")),
    **dict.fromkeys(("hscan", "lindex"), ("{key}", "0")),
    **dict.fromkeys(("hdel", "hexists", "hget", "hmget", "hstrlen"), ("{key}", "f")),
    **dict.fromkeys(("hset", "hsetnx"), ("{key}", "f", "v")),
    **dict.fromkeys(("lrem", "setex", "zadd"), ("{key}", "1", "v")),
    **dict.fromkeys(["lpush", "rpush", "sadd", "set", "sismember", "srem", "zrank", "zrem", "zscore"], ("{key}", "v")),
    **dict.fromkeys(
        ["getrange", "lrange", "ltrim", "zcount", "zrange", "zrangebyscore", "zremrangebyrank", "zrevrange"],
        ("{key}", "0", "1"),
    ),
}
#: not asked one by one: the commands of the transaction itself
_UNASKED = {"multi", "exec"}


def _questions(access: Access) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each rule of an ACL with the command that asks for it."""
    key = _like(access.keys[0])
    channel = access.channels[0] if access.channels else "wxcheck:probe"
    for pattern in access.keys:
        yield f"~{pattern}", ("EXISTS" if "exists" in access.commands else "LLEN", _like(pattern))
    for pattern in access.channels:
        # Redis compares patterns of subscriptions letter by letter
        asked = ("PSUBSCRIBE",) if "/" in pattern else ("SUBSCRIBE",)
        yield f"&{pattern}", (*asked, pattern) if "psubscribe" in access.commands else ("PUBLISH", pattern, "")
    for command in sorted(access.commands - _UNASKED):
        sample = _SAMPLES.get(command, ("{key}",))
        words = (word.format(key=key, channel=channel) for word in sample)
        yield f"+{command}", (*command.upper().split("|"), *words)


def _like(pattern: str) -> str:
    return pattern.replace("*", "probe")


def _answer(connection: Any, *command: str) -> str | None:
    connection.send_command(*command)
    return _read(connection)


def _read(connection: Any) -> str | None:
    """Read the refusal of a command; None if Redis takes the command, or refuses it for a reason other than its ACL."""
    try:
        connection.read_response()
    except redis.exceptions.NoPermissionError as error:
        return f"{error}"
    except redis.exceptions.ResponseError as error:
        return str(error) if "unknown" in str(error).lower() else None
    return None


def _is_of_command(answer: str | None) -> bool:
    return answer is not None and "permissions to run" in answer


def _refusals(where: str, url: str, lacking: list[str], unknown: list[str]) -> Iterator[str]:
    if unknown:
        yield (
            f"{where} has no {', '.join(name.upper() for name in unknown)}, which is needed: rename-command, or a "
            "proxy, has taken it away"
        )
    if lacking:
        user = unquote(urlsplit(url).username or "") or "default"
        yield (
            f"{where} does not let its user {user!r} do what is needed. Say there: ACL SETUSER {user} "
            f"{' '.join(lacking)} (and ACL SAVE, or CONFIG REWRITE, so that it stays)"
        )
