"""The call of a check: a run reserves the call, looks at its leave, waits for the send time and sends it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from config.logs import Log
from store.quota.permit import Snooze
from wechat.answers import Answer, TokenRefused, Unanswered
from wechat.quotas import PlatformQuota, QuotaNotTold, quota_of
from wxcheck import CheckRefused

if TYPE_CHECKING:
    from config.lanes import Lane
    from config.settings import Settings
    from store.outbox.outbox import Run
    from store.quota.permit import Permit
    from store.quota.permits import Quota
    from store.records.records import RecordState
    from store.watch.statistics import Statistics
    from wechat.checks import Check
    from wechat.http import Http
    from worker.credential import Credential

log = Log(__name__)


class Leave(NamedTuple):
    """The leave to send one call of a check."""

    check: Check
    permit: Permit
    #: query parameters that sign the call
    parameters: dict[str, str]
    #: state of the check's record, which decides whether the run may send the check
    record: RecordState

    @property
    def seconds(self) -> float:
        """Return the seconds until the call is over at the latest."""
        return self.permit.over_by - time.monotonic()


class Calls:
    """The calls to WeChat that one process sends; may be used from any thread."""

    def __init__(
        self, http: Http, credential: Credential, quota: Quota, settings: Settings, statistics: Statistics
    ) -> None:
        self._http = http
        self._credential = credential
        self._quota = quota
        self._settings = settings
        self._statistics = statistics

    def reserve(self, check: Check, run: Run, *, low: bool) -> Leave:
        """Reserve a call of ``check`` for ``run``. The caller sends the call, or gives it back.

        Token, permit and record take one round trip; a token that must be renewed first takes another. ``low``: the
        check is of low priority.

        Raises:
            Unanswered, TokenRefused: there is no access token.
            Snooze: the quota leaves no call now.
            CheckRefused: the platform refuses this appId altogether.
            one of STORE_AWAY: the store does not answer.
        """
        program, lease = self._settings.programs[check.appid], self._credential.token_lease
        own = self._credential.parameters(check.appid, check.lane) if lease is None else None
        while True:
            permit, token, record = self._quota.reserve(program, check.lane, run, token_lease=lease, low=low)
            if permit is not None and record is not None:
                return Leave(check, permit, own if own is not None else {"access_token": str(token[1])}, record)
            # this renews the token, which the next reservation then finds
            self._credential.parameters(check.appid, check.lane, token)

    def unused(self, leave: Leave) -> None:
        """Give back a call that is not sent: it spends no quota."""
        self._quota.unused(leave.permit)

    def wait_until_due(self, leave: Leave) -> bool:
        """Wait for the send time of a call. If this process stood still too long, give the call back; return False."""
        time.sleep(max(0.0, leave.permit.send_at - time.monotonic()))
        if time.monotonic() <= leave.permit.begin_by:
            return True
        self.unused(leave)
        return False

    def send(self, leave: Leave) -> Answer:
        """Send a call that is due, and return the platform's answer.

        Raises:
            Unanswered: no usable answer came. ``taken``: the platform may have taken the call all the same.
        """
        check, permit = leave.check, leave.permit
        self._statistics.call(check.appid, check.lane, "sent")
        try:
            answer = self._http.post(check.path, leave.parameters, check.body, deadline=permit.over_by)
        except Unanswered as unanswered:
            if unanswered.over:
                self._quota.answered(permit)
            elif not unanswered.taken:
                self._quota.unused(permit)
            # any other call may still arrive, so its permit counts until the time-out
            raise
        self._quota.answered(permit)
        return answer

    def refuse_signature(self, leave: Leave) -> None:
        """Have the next call signed anew, because the platform has refused the signature of ``leave``."""
        self._credential.reject(leave.check.appid, leave.parameters)

    def authenticate(self, appid: str) -> None:
        """Make sure that calls for ``appid`` can be signed: an access token lives, or the platform gives one.

        Raises:
            TokenRefused, Unanswered, Snooze, CheckRefused: no call for ``appid`` can be sent now.
        """
        self._credential.parameters(appid, "text")

    def quota(self, appid: str, lane: Lane) -> PlatformQuota:
        """Return the quota of a lane by the platform's own count.

        Raises:
            QuotaNotTold: the platform does not tell its count.
        """
        try:
            return quota_of(self._http, lane, self._credential.parameters(appid, lane))
        except (Unanswered, TokenRefused, Snooze, CheckRefused) as error:
            raise QuotaNotTold(str(error) or type(error).__name__) from None

    def used_today(self, appid: str, lane: Lane) -> int | None:
        """Return the calls of a lane that the platform counts for today; None if the platform does not tell."""
        try:
            return self.quota(appid, lane).used
        except QuotaNotTold as error:
            log.warning("quota_not_told", str(error), appid=appid, lane=lane)
            return None
