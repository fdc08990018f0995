"""The step on the way to a server that failed, told from the errors of requests."""

from __future__ import annotations

import errno
import socket
import ssl
from enum import Enum
from typing import TYPE_CHECKING

import requests
import urllib3.exceptions

if TYPE_CHECKING:
    from collections.abc import Iterator


class Step(Enum):
    """A step that fails; its value is the sentence about it."""

    PROXY = "the proxy of this machine's environment (HTTPS_PROXY, HTTP_PROXY) does not answer"
    NAME = "its name is not resolved"
    REFUSED = "the connection is refused: nothing listens there"
    UNREACHABLE = "there is no way to its address"
    TLS = "TLS fails"
    TIMEOUT = "no answer in time"
    LOST = "the connection is closed before an answer comes"
    OTHER = "it cannot be asked"


_NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN)
#: the first class found among an error and its causes counts
_SIGNS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Step], ...] = (
    (requests.exceptions.ProxyError, Step.PROXY),
    (socket.gaierror, Step.NAME),
    (urllib3.exceptions.NameResolutionError, Step.NAME),
    ((ssl.SSLError, requests.exceptions.SSLError), Step.TLS),
    (ConnectionRefusedError, Step.REFUSED),
    ((requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError), Step.TIMEOUT),
    ((ConnectionError, urllib3.exceptions.ProtocolError), Step.LOST),
)


def failed_step(error: requests.RequestException) -> tuple[Step, str]:
    """Return the failed step, and a sentence about it. The sentence never has the URL, whose query may be signed."""
    chain = list(_causes(error))
    step = next((step for kind, step in _SIGNS if any(isinstance(cause, kind) for cause in chain)), None)
    if step is None:
        no_way = any(isinstance(cause, OSError) and cause.errno in _NO_WAY for cause in chain)
        step = Step.UNREACHABLE if no_way else Step.OTHER
    if step is Step.TLS:
        return step, f"{step.value}: {_tls(chain)}"
    return step, step.value if step is not Step.OTHER else f"{step.value}: {type(error).__name__}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error`` and all its causes."""
    seen: set[int] = set()
    rest: list[object] = [error]
    while rest:
        cause = rest.pop()
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            rest += [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]


def _tls(chain: list[BaseException]) -> str:
    """Return the cause of a TLS failure in OpenSSL's words."""
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate is not accepted, {cause.verify_message.rstrip('.')}"
    reasons = [getattr(cause, "reason", None) for cause in chain if isinstance(cause, ssl.SSLError)]
    return next((reason.lower().replace("_", " ") for reason in reasons if reason), "no reason is told")
