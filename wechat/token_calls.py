"""Calls to WeChat for access tokens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from wechat.answers import TokenRefused, Unanswered, integer
from wechat.errcodes import OK

if TYPE_CHECKING:
    from config.settings import Settings
    from wechat.http import Http


STABLE_TOKEN_PATH = "/cgi-bin/stable_token"
CLASSIC_TOKEN_PATH = "/cgi-bin/token"


class TokenCalls:
    """Fetches tokens from the platform: ``stable_token``, or the classic ``token``.

    No call asks for ``force_refresh``, which kills the token that all others use, and is rationed.
    """

    def __init__(self, http: Http, settings: Settings) -> None:
        self._http = http
        self._settings = settings

    def fetch(self, appid: str) -> tuple[str, int]:
        """Return a token of ``appid`` and the seconds of its life.

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
                answer = self._http.get(CLASSIC_TOKEN_PATH, credentials)
            else:
                body = json.dumps({**credentials, "force_refresh": False}).encode()
                answer = self._http.post(STABLE_TOKEN_PATH, {}, body)
        except Unanswered as unanswered:
            # the check itself has not been sent, whether or not the platform took this call
            raise Unanswered(f"access token: {unanswered.reason}", taken=False) from None
        if answer.errcode != OK:
            raise TokenRefused(answer)
        token, lives = answer.data.get("access_token"), integer(answer.data.get("expires_in"))
        if not isinstance(token, str) or not token or lives is None:
            raise Unanswered("access token: an answer without one", taken=False)
        return token, lives
