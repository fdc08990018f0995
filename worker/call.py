"""The platform as the rest of the worker sees it: tokens are fetched, checks are sent."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from config.logs import Log
from store.quota.permit import Snooze
from wechat.answers import Answer, TokenRefused, Unanswered, integer
from wechat.checks import PATHS
from wechat.errcodes import OK, Meaning, meaning
from wxcheck import CheckRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.lanes import Lane
    from config.settings import Settings
    from store.quota.permit import Permit, Start
    from store.quota.permits import Quota
    from store.tokens.tokens import Tokens
    from store.watch.statistics import Statistics
    from wechat.checks import Check
    from wechat.http import Http

    Admit = Callable[[Start, float], None]
    Sent = Callable[[float], None]

log = Log(__name__)

QUOTA_PATH = "/cgi-bin/openapi/quota/get"
#: permits that a check lets go by because its process stood still, before it comes back later
LATE = 3
_RATE = ("call_count", "refresh_second")


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

    @property
    def token_lease(self) -> float | None:
        """Seconds that a renewal of the shared token may take; None where calls are signed in another way."""
        return self._tokens.lease if self._settings.token_source in ("stable", "classic") else None

    def parameters(self, appid: str, lane: Lane, said: list[Any] | None = None) -> dict[str, str]:
        """``said``: what the store said of the shared token, where it was asked already."""
        source = self._settings.token_source
        if source == "none":
            return {}
        if source == "cloudbase":
            return {"cloudbase_access_token": self._cloudbase_token()}
        return {"access_token": self._tokens.get(appid, lane, said)}

    def reject(self, appid: str, refused: dict[str, str]) -> None:
        """Says that the platform refused parameters: the next ones are new."""
        if "access_token" in refused:
            self._tokens.reject(appid, refused["access_token"])

    def _cloudbase_token(self) -> str:
        path = self._settings.cloudbase_token_file
        try:
            token = path.read_text(encoding="utf-8").strip() if path else ""
        except OSError as error:
            raise Unanswered(f"CLOUDBASE_TOKEN_FILE: {error.strerror}", taken=False) from None
        if not token:
            raise Unanswered("CLOUDBASE_TOKEN_FILE: empty", taken=False)
        return token


class QuotaNotTold(Exception):
    """The platform does not say how much of a quota is used; the message says what it says instead."""


class PlatformQuota(NamedTuple):
    """A lane's quota as the platform counts it."""

    #: calls today
    used: int
    #: calls that it grants a day, and a minute; None where it does not say
    per_day: int | None
    per_minute: int | None


class Platform:
    """The platform as checks see it: a call goes out with a permit and a live token, and comes back as an answer."""

    def __init__(
        self, http: Http, credential: Credential, quota: Quota, settings: Settings, statistics: Statistics
    ) -> None:
        self._http = http
        self._credential = credential
        self._quota = quota
        self._settings = settings
        self._statistics = statistics

    def call(
        self,
        check: Check,
        start: Start,
        admit: Admit,
        sent: Sent,
        *,
        low: bool,
    ) -> Answer:
        """Sends ``check``; where its token is refused, renews that once and sends once more.

        ``start``: the run that sends it. ``admit`` is told, when there is a permit for a call, how the check stands,
        and in how many seconds that call will be over; what it raises ends the check's sending. ``sent`` is told,
        right before each call, for how many seconds ahead its permit was. ``low``: whether it is of low priority.

        Raises:
            Unanswered: no usable answer; its ``taken`` says whether the call may have been taken all the same.
            TokenRefused: the platform gave no access token.
            Snooze: the quota leaves no call now.
            CheckRefused: the platform refuses this appId altogether.
        """
        start.token_lease = self._credential.token_lease
        parameters, answer = self._send(check, start, admit, sent, low=low)
        if meaning(answer.errcode) is Meaning.RENEW:
            self._credential.reject(check.appid, parameters)
            _, answer = self._send(check, start, admit, sent, low=low)
        return answer

    def authenticate(self, appid: str) -> None:
        """Sees that calls for ``appid`` can be signed: its access token lives, or the platform gives one.

        Raises:
            TokenRefused, Unanswered, Snooze, CheckRefused: it cannot be called now.
        """
        self._credential.parameters(appid, "text")

    def quota(self, appid: str, lane: Lane) -> PlatformQuota:
        """What the platform itself says of a lane's quota.

        Source: ``POST /cgi-bin/openapi/quota/get``, right to about 1 %.

        Raises:
            QuotaNotTold: it says nothing of it.
        """
        body = json.dumps({"cgi_path": PATHS[lane]}).encode()
        try:
            answer = self._http.post(QUOTA_PATH, self._credential.parameters(appid, lane), body)
        except (Unanswered, TokenRefused, Snooze, CheckRefused) as error:
            raise QuotaNotTold(str(error) or type(error).__name__) from None
        told = answer.data.get("quota")
        used = integer(told.get("used")) if isinstance(told, dict) else None
        if answer.errcode != OK or not isinstance(told, dict) or used is None:
            raise QuotaNotTold(f"errcode {answer.errcode} {answer.errmsg}".strip())
        rate = answer.data.get("rate_limit")
        calls, seconds = (integer(rate.get(name)) for name in _RATE) if isinstance(rate, dict) else (None, None)
        return PlatformQuota(
            used, integer(told.get("daily_limit")), calls * 60 // seconds if calls and seconds else None
        )

    def used_today(self, appid: str, lane: Lane) -> int | None:
        """How many calls of a lane the platform counts for today; None where it does not say so."""
        try:
            return self.quota(appid, lane).used
        except QuotaNotTold as error:
            log.warning("quota_not_told", str(error), appid=appid, lane=lane)
            return None

    def _send(
        self,
        check: Check,
        start: Start,
        admit: Admit,
        sent: Sent,
        *,
        low: bool,
    ) -> tuple[dict[str, str], Answer]:
        """One call, at the moment that its permit is for; with what it was signed."""
        parameters, permit = self._permit(check, start, admit, low=low)
        sent(permit.ahead)
        self._statistics.call(check.appid, check.lane, "sent")
        try:
            answer = self._http.post(check.path, parameters, check.body, deadline=permit.over_by)
        except Unanswered as unanswered:
            if unanswered.over:
                self._quota.answered(permit)
            elif not unanswered.taken:
                self._quota.unused(permit)
            # else it may still arrive, and counts until its time-out
            raise
        self._quota.answered(permit)
        return parameters, answer

    def _permit(self, check: Check, start: Start, admit: Admit, *, low: bool) -> tuple[dict[str, str], Permit]:
        """Leave for a call, and what it is signed with."""
        for _ in range(LATE):
            parameters, permit = self._take(check, start, low=low)
            try:
                admit(start, permit.over_by - time.monotonic())
            except BaseException:
                self._quota.unused(permit)
                raise
            time.sleep(max(0.0, permit.send_at - time.monotonic()))
            if time.monotonic() <= permit.begin_by:
                return parameters, permit
            # this process stood still; the calls of others have its place in time now
            self._quota.unused(permit)
        raise Snooze(0.0, "late")

    def _take(self, check: Check, start: Start, *, low: bool) -> tuple[dict[str, str], Permit]:
        """Token, permit and record of a call, in one round trip; in two where the token is not simply there."""
        program = self._settings.programs[check.appid]
        own = self._credential.parameters(check.appid, check.lane) if start.token_lease is None else None
        while (permit := self._quota.start(program, check.lane, start, low=low)) is None:
            self._credential.parameters(check.appid, check.lane, start.token)
        return (own if own is not None else {"access_token": str(start.token[1])}), permit
