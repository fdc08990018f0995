"""The credentials that sign the calls to WeChat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wechat.answers import Unanswered

if TYPE_CHECKING:
    from config.lanes import Lane
    from config.settings import Settings
    from store.tokens.tokens import Tokens


class Credential:
    """Signs calls by a query parameter, from ``TOKEN_SOURCE``. A shared token can be renewed."""

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        self._settings = settings
        self._tokens = tokens

    @property
    def token_lease(self) -> float | None:
        """Return the seconds that a renewal of the shared token may take; None if calls are signed in another way."""
        return self._tokens.lease if self._settings.token_source in ("stable", "classic") else None

    def parameters(self, appid: str, lane: Lane, said: list[Any] | None = None) -> dict[str, str]:
        """Return the query parameters that sign a call for ``appid``.

        ``said``: an answer of ``store/tokens/take.lua`` that the caller has already.

        Raises:
            TokenRefused, Unanswered: there is no token.
            CheckRefused: the platform refuses the appId, so no token is asked for.
        """
        source = self._settings.token_source
        if source == "none":
            return {}
        if source == "cloudbase":
            return {"cloudbase_access_token": self._cloudbase_token()}
        return {"access_token": self._tokens.get(appid, lane, said)}

    def reject(self, appid: str, token: str) -> None:
        """Note that the platform refused a shared token, so that the next one is new."""
        self._tokens.reject(appid, token)

    def _cloudbase_token(self) -> str:
        path = self._settings.cloudbase_token_file
        try:
            token = path.read_text(encoding="utf-8").strip() if path else ""
        except OSError as error:
            raise Unanswered(f"CLOUDBASE_TOKEN_FILE: {error.strerror}", taken=False) from None
        if not token:
            raise Unanswered("CLOUDBASE_TOKEN_FILE: empty", taken=False)
        return token
