"""The look at each push URL: an endpoint with the same Token must answer WeChat's question on saving the URL.

No push is sent, since it would be counted.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import requests

from config.settings import is_loopback
from ops.doctor.finding import Finding
from ops.doctor.network import Step, failed_step
from ops.doctor.side_by_side import side_by_side
from sandbox.messages import url_check
from store.watch.presence import alive
from wechat.push.outcomes import Outcome, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.settings import MiniProgram, Settings
    from ops.doctor.side_by_side import Look
    from worker.runtime import Runtime

#: seconds within which WeChat wants its answer
PATIENCE = 5
#: seconds for all Mini Programs
PROGRAMS = 9.0
PATH = "/wechat/push"
#: most bytes of an answer to read
MOST = 256
#: ports that WeChat calls
PORTS = {"http": 80, "https": 443}

_RUNS = "see that the endpoint, and the proxy before it, run"
_REMEDIES = {
    Step.PROXY: "mend the proxy of this machine, or unset these variables; WeChat does not use it",
    Step.NAME: "give the name an address in the public DNS",
    Step.REFUSED: _RUNS,
    Step.UNREACHABLE: "see the address in the DNS; from inside, the public one may be out of reach: try from elsewhere",
    Step.TLS: "renew the certificate, with its whole chain: WeChat wants one of a public authority",
    Step.TIMEOUT: f"let it through the firewall; {_RUNS}",
    Step.LOST: _RUNS,
    Step.OTHER: "see WXCHECK_PUSH_URL",
}
_REFUSALS = {refusal.outcome.value: refusal for refusal in Refusal.__subclasses__()}
_PROXY = f"its location {PATH} must lead to the endpoint: see docs/deploying.md, going live"


class Heard(NamedTuple):
    """An answer to WeChat's question."""

    status: int
    #: at most its first ``MOST`` bytes
    body: str
    kind: str
    #: target of a redirection
    location: str | None


def examine(runtime: Runtime, url: str | None) -> Iterator[Finding]:
    """Yield the findings. ``url``: the URL of the default Mini Program, in place of ``PUSH_URL``."""
    settings = runtime.settings
    looks: list[Look] = []
    inside = []
    for program in settings.programs.values():
        public = settings.push_url_of(program, url)
        if program.push_token is None:
            looks.append((_subject(program), partial(_unsigned, program)))
        elif public is None:
            inside.append(program)
        else:
            looks.append((_subject(program), partial(_public, program, public)))
    yield from side_by_side(looks, PROGRAMS)
    if inside:
        yield from _inside(runtime, inside)


def _subject(program: MiniProgram) -> str:
    return f"{program.appid} push URL"


def _unsigned(program: MiniProgram) -> Iterator[Finding]:
    yield Finding("skipped", _subject(program), "not asked: its PUSH_TOKEN is not among the settings here")


def _public(program: MiniProgram, url: str) -> Iterator[Finding]:
    fault = _fault(program, url)
    doubt = out_of_reach(url)
    said = f"{url} answers as WeChat wants it"
    if fault is not None:
        yield fault
    elif doubt is not None:
        yield Finding("warn", _subject(program), f"{said}, but {doubt}", "set the URL that WeChat is to call")
    else:
        yield Finding("ok", _subject(program), said)


def out_of_reach(url: str) -> str | None:
    """Return why WeChat cannot call ``url`` though this machine can; None if it can, or for a loopback. Pure."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", PORTS[parts.scheme]
    if is_loopback(host):
        return None
    if _is_of_this_network(host):
        return f"{host} is an address of this network only"
    return None if parts.port in (None, port) else f"WeChat calls port {port} only"


def _is_of_this_network(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False  # a name


def _inside(runtime: Runtime, programs: list[MiniProgram]) -> Iterator[Finding]:
    """Ask the endpoint of this machine, for Mini Programs without a push URL."""
    settings = runtime.settings
    host, port = _listens(settings)
    outside = "the way from outside was not tried: set WXCHECK_PUSH_URL"
    try:
        socket.create_connection((host, port), PATIENCE).close()
    except OSError:
        elsewhere = [process.name for process in alive(runtime.store) if process.kind == "endpoint"]
        if elsewhere:
            yield Finding("skipped", "push URL", f"{', '.join(elsewhere)} runs on another machine; {outside}")
        else:
            said = f"no endpoint listens on {host} port {port}, and {outside}"
            yield Finding("bad", "push URL", said, "start it: python -m callbacks")
        return
    base = f"http://{f'[{host}]' if ':' in host else host}:{port}{PATH}"
    for program in programs:
        url = base if program.appid == settings.default_appid else f"{base}/{program.appid}"
        fault = _fault(program, url, direct=True)
        yield fault or Finding("skipped", _subject(program), f"{url} answers as WeChat wants it; {outside}")


def _listens(settings: Settings) -> tuple[str, int]:
    every = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not listened on, but asked
    return every.get(settings.callback_host, settings.callback_host), settings.callback_port


def _fault(program: MiniProgram, url: str, *, direct: bool = False) -> Finding | None:
    """Ask ``url`` as WeChat does. Return the finding if the answer is wrong. ``direct``: without a proxy."""
    echo = secrets.token_hex(8)
    try:
        heard = _ask(f"{url}?{url_check(program, echo)}", direct=direct)
    except requests.RequestException as error:
        step, said = failed_step(error)
        return Finding("bad", _subject(program), f"{url} cannot be reached: {said}", _REMEDIES[step])
    if heard.status == 200 and heard.body == echo:
        return None
    said, remedy = misheard(heard)
    return Finding("bad", _subject(program), f"{url} answers {said}", remedy)


def _ask(url: str, *, direct: bool) -> Heard:
    with requests.Session() as session:
        session.trust_env = not direct
        with session.get(url, timeout=PATIENCE, allow_redirects=False, stream=True) as answer:
            body = next(answer.iter_content(MOST), b"").decode("utf-8", "replace").strip()
            headers = answer.headers
            return Heard(answer.status_code, body, headers.get("Content-Type", ""), headers.get("Location"))


def misheard(heard: Heard) -> tuple[str, str]:
    """Return the fault of an answer without the echo, and the remedy. Pure."""
    status = heard.status
    if heard.body == Outcome.BAD_SIGNATURE:
        remedy = (
            "the endpoint has another PUSH_TOKEN than these settings: give both the Token of the message-push settings"
        )
        return f"{status} {heard.body}", remedy
    if heard.body in _REFUSALS:
        return f"{status} {heard.body}", _REFUSALS[heard.body].remedy
    if 300 <= status < 400:
        where = f" to {heard.location.partition('?')[0][:100]}" if heard.location else ""
        return f"{status}, a redirect{where}, which WeChat does not follow", "set the push URL to where it ends"
    if status in (502, 503, 504):
        return f"{status}: a proxy answers, and does not reach the endpoint", f"{_RUNS}; {_PROXY}"
    if status == 404:
        return "404: there is nothing at this path", f"see the path of the URL, and the proxy: {_PROXY}"
    if "html" in heard.kind.lower() or heard.body.startswith("<"):
        return f"{status} with a page: a proxy or a web site, not the endpoint", f"see the proxy: {_PROXY}"
    return f"{status}, but not with what was asked for: it is not the endpoint", f"see the proxy: {_PROXY}"
