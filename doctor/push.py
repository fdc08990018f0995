"""Whether the push URL leads to an endpoint that has the same Token: asked as WeChat asks when the URL is saved."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import requests

from callbacks.outcomes import Refusal
from doctor.finding import Finding, words
from sandbox.messages import url_check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.settings import MiniProgram, Settings
    from worker.runtime import Runtime

#: seconds within which WeChat wants its answer
PATIENCE = 5
PATH = "/wechat/push"
#: bytes of an answer that are read
MOST = 256

_REFUSALS = {refusal.outcome.value: refusal for refusal in Refusal.__subclasses__()}


def examine(runtime: Runtime, url: str | None) -> Iterator[Finding]:
    """``url``: in place of ``PUSH_URL``, of the default Mini Program."""
    settings = runtime.settings
    for program in settings.programs.values():
        if program.push_token is None:
            yield Finding(
                "skipped", f"{program.appid} push URL", "not asked: PUSH_TOKEN is not among the settings here"
            )
            continue
        public = url or settings.push_url
        asked = _own(public or _local(settings), settings, program)
        fault = _fault(asked, program)
        if fault is not None:
            yield fault
        elif public is None:
            said = f"{asked} answers as WeChat wants it; the way from outside was not tried: set WXCHECK_PUSH_URL"
            yield Finding("skipped", f"{program.appid} push URL", said)
        else:
            yield Finding("ok", f"{program.appid} push URL", f"{asked} answers as WeChat wants it")


def _local(settings: Settings) -> str:
    host = settings.callback_host if settings.callback_host not in ("0.0.0.0", "::") else "127.0.0.1"  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.callback_port}{PATH}"


def _own(url: str, settings: Settings, program: MiniProgram) -> str:
    """The push URL of one of several Mini Programs."""
    return url if program.appid == settings.default_appid else f"{url}/{program.appid}"


def _fault(url: str, program: MiniProgram) -> Finding | None:
    subject = f"{program.appid} push URL"
    echo = secrets.token_hex(8)
    try:
        with requests.get(
            f"{url}?{url_check(program, echo)}", timeout=PATIENCE, allow_redirects=False, stream=True
        ) as answer:
            status, where = answer.status_code, answer.headers.get("Location")
            body = next(answer.iter_content(MOST), b"").decode("utf-8", "replace").strip()
    except requests.exceptions.SSLError as error:
        return Finding(
            "bad", subject, f"{url}: TLS fails: {_reason(error)}", "mend its certificate; WeChat wants a valid one"
        )
    except requests.exceptions.ConnectionError as error:
        said = f"{url} cannot be reached: {_reason(error)}"
        return Finding("bad", subject, said, "see DNS, firewall, proxy, and whether the endpoint runs")
    except requests.exceptions.RequestException as error:
        said = f"{url} does not answer within {PATIENCE} s: {type(error).__name__}"
        return Finding("bad", subject, said, "see firewall, proxy, and whether the endpoint runs")
    if status == 200 and body == echo:
        return None
    if body in _REFUSALS:
        return Finding("bad", subject, f"{url} answers {status} {body}", _REFUSALS[body].remedy)
    if where is not None:
        said = f"{url} answers {status}, a redirect to {where[:100]}, which WeChat does not follow"
        return Finding("bad", subject, said, "set the push URL to where it ends")
    said = f"{url} answers {status}, and not what was asked for: something else than the endpoint answers there"
    return Finding("bad", subject, said, "see the proxy: its location /wechat/push must lead to the endpoint")


def _reason(error: requests.exceptions.RequestException) -> str:
    """What lies at the bottom of it; the outer ones repeat the URL with its query."""
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    return words(cause)
