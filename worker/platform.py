"""Calls the platform over HTTP. The only module that does.

``requests``, one session a thread (a session is not safe to share), kept alive, a time-out on each call.
No exception from below ever leaves here: its text would hold the URL, and with it the token.
"""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter

from worker.answers import Answer, TokenRefused, Unanswered, integer, read_answer
from worker.errcodes import OK, Meaning, meaning

if TYPE_CHECKING:
    from config.settings import Settings
    from worker.checks import Check, Lane
    from worker.token import Tokens

#: bytes; the longest real answer is a few KB
MAX_ANSWER = 1 << 20
_CHUNK = 1 << 16


class Http:
    """Sends single requests to the platform.

    ``timeout`` (seconds) bounds connecting, the wait for the answer's head, and, from the call's start on, its body.
    """

    def __init__(self, base: str, timeout: float) -> None:
        self._base = base
        self._timeout = timeout
        self._local = threading.local()

    def post(self, path: str, params: dict[str, str], body: bytes) -> Answer:
        """POSTs ``body`` (raw UTF-8 JSON).

        Raises:
            Unanswered: no usable answer within the time-out.
        """
        return self._exchange("POST", path, params, body)

    def get(self, path: str, params: dict[str, str]) -> Answer:
        """GETs ``path``; raises as :meth:`post` does."""
        return self._exchange("GET", path, params, None)

    def _exchange(self, method: str, path: str, params: dict[str, str], body: bytes | None) -> Answer:
        deadline = time.monotonic() + self._timeout
        try:
            with self._session.request(
                method,
                self._base + path,
                params=params,
                data=body,
                headers={"Content-Type": "application/json; charset=utf-8"} if body is not None else None,
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                return read_answer(response.status_code, _read(response, deadline))
        except requests.ConnectTimeout:
            raise Unanswered("no connection within the time-out", taken=False) from None
        except requests.Timeout:
            raise Unanswered("no answer within the time-out", taken=True) from None
        except requests.ConnectionError as error:
            # the text of the error holds the URL with the token: only its kind is told
            refused = "NewConnectionError" in repr(error) or "NameResolutionError" in repr(error)
            reason = "no connection" if refused else "connection lost"
            raise Unanswered(reason, taken=not refused) from None
        except urllib3.exceptions.ReadTimeoutError:
            raise Unanswered("no answer within the time-out", taken=True) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            # what reading the body raises is urllib3's own
            raise Unanswered(f"call failed with {type(error).__name__}", taken=True) from None

    @property
    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            adapter = HTTPAdapter(pool_connections=2, pool_maxsize=2, max_retries=0)
            session.mount("http://", adapter)
            session.mount("https://", adapter)
            self._local.session = session
        return session


def _read(response: requests.Response, deadline: float) -> bytes:
    """The whole body, within bounds: a time-out of requests counts from byte to byte, not over all."""
    body = bytearray()
    while chunk := response.raw.read1(_CHUNK, decode_content=True):
        body += chunk
        if len(body) > MAX_ANSWER:
            raise Unanswered(f"an answer of more than {MAX_ANSWER} bytes", taken=True)
        if time.monotonic() > deadline:
            raise Unanswered("no answer within the time-out", taken=True)
    return bytes(body)


class TokenCalls:
    """Fetches tokens from the platform: ``stable_token``, or the classic ``token``.

    ``force_refresh`` is never asked for: it kills the token that all others use, and is rationed.
    """

    def __init__(self, http: Http, settings: Settings) -> None:
        self._http = http
        self._settings = settings

    def fetch(self, appid: str) -> tuple[str, int]:
        """A token of ``appid`` and the seconds that it lives.

        Raises:
            TokenRefused: the platform answered with an error.
            Unanswered: no usable answer.
        """
        secret = self._settings.programs[appid].secret
        credentials = {
            "grant_type": "client_credential",
            "appid": appid,
            "secret": secret.get_secret_value() if secret else "",
        }
        try:
            if self._settings.token_source == "classic":
                answer = self._http.get("/cgi-bin/token", credentials)
            else:
                body = json.dumps({**credentials, "force_refresh": False}).encode()
                answer = self._http.post("/cgi-bin/stable_token", {}, body)
        except Unanswered as unanswered:
            # whatever became of this call, the check itself has not been sent
            raise Unanswered(f"access token: {unanswered.reason}", taken=False) from None
        if answer.errcode != OK:
            raise TokenRefused(answer)
        token, lives = answer.data.get("access_token"), integer(answer.data.get("expires_in"))
        if not isinstance(token, str) or not token or lives is None:
            raise Unanswered("access token: an answer without one", taken=False)
        return token, lives


class Credential:
    """What a call is signed with, by ``TOKEN_SOURCE``: a query parameter, and whether it can be renewed."""

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        self._settings = settings
        self._tokens = tokens

    def parameters(self, appid: str, lane: Lane) -> dict[str, str]:
        source = self._settings.token_source
        if source == "none":
            return {}
        if source == "cloudbase":
            return {"cloudbase_access_token": self._cloudbase_token()}
        return {"access_token": self._tokens.get(appid, lane)}

    def renew(self, appid: str, lane: Lane, refused: dict[str, str]) -> dict[str, str]:
        """New parameters in place of those that the platform refused."""
        if "access_token" in refused:
            self._tokens.reject(appid, refused["access_token"])
        return self.parameters(appid, lane)

    def _cloudbase_token(self) -> str:
        path = self._settings.cloudbase_token_file
        try:
            token = path.read_text(encoding="utf-8").strip() if path else ""
        except OSError as error:
            raise Unanswered(f"CLOUDBASE_TOKEN_FILE: {error.strerror}", taken=False) from None
        if not token:
            raise Unanswered("CLOUDBASE_TOKEN_FILE: empty", taken=False)
        return token


class Platform:
    """The platform as checks see it: a call goes out with a live token, and comes back as an answer."""

    def __init__(self, http: Http, credential: Credential) -> None:
        self._http = http
        self._credential = credential

    def call(self, check: Check) -> Answer:
        """Sends ``check``; where its token is refused, renews that once and sends once more.

        Raises:
            Unanswered: no usable answer; its ``taken`` says whether the call may have been taken all the same.
            TokenRefused: the platform gave no access token.
            CheckRefused, Snooze: another process has just learnt so, while this one waited for the token.
        """
        parameters = self._credential.parameters(check.appid, check.lane)
        answer = self._http.post(check.path, parameters, check.body)
        if meaning(answer.errcode) is Meaning.RENEW:
            parameters = self._credential.renew(check.appid, check.lane, parameters)
            answer = self._http.post(check.path, parameters, check.body)
        return answer
