"""The call of a check: a run reserves the call, looks at its leave, waits for the send time and sends it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from config.logs import Log
from store.places.forms import Settled
from wechat.answers import Answer, TokenRefused, Unanswered
from wechat.quotas import PlatformQuota, QuotaNotTold, quota_of
from wxcheck import CheckRefused

if TYPE_CHECKING:
    from config.lanes import Lane
    from store.quota.permit import Permit
    from store.watch.statistics import Statistics
    from wechat.checks import Check
    from wechat.http import Http
    from worker.credential import Credential
    from worker.run import Run

log = Log(__name__)


class Calls:
    """The calls to WeChat that one process sends; may be used from any thread."""

    def __init__(self, http: Http, credential: Credential, statistics: Statistics) -> None:
        self._http = http
        self._credential = credential
        self._statistics = statistics

    def close_idle(self) -> None:
        """Close the connections to the platform that no call has used lately."""
        self._http.close_idle()

    def wait_until_due(self, permit: Permit) -> bool:
        """Wait for the send time of a call. Return False if this process stood still too long to send it."""
        time.sleep(max(0.0, permit.send_at - time.monotonic()))
        return time.monotonic() <= permit.begin_by

    def send(self, run: Run, check: Check, permit: Permit, token: str | None) -> Answer:
        """Send a call that is due, and return the platform's answer; ``run`` knows afterwards how to settle the permit.

        Raises:
            Unanswered: no usable answer came. ``taken``: the platform may have taken the call all the same.
        """
        self._statistics.count("calls", check.appid, check.lane, "sent")
        try:
            answer = self._http.post(check.path, self._signature(check, token), check.body, deadline=permit.over_by)
        except Unanswered as unanswered:
            # a call that may still arrive is not settled: its permit counts until the time-out
            if unanswered.over or not unanswered.taken:
                run.settled = Settled(permit, was_sent=unanswered.over)
            raise
        run.settled = Settled(permit, was_sent=True)
        return answer

    def _signature(self, check: Check, token: str | None) -> dict[str, str]:
        return {"access_token": token} if token is not None else self._credential.parameters(check.appid, check.lane)

    def renew(self, appid: str, lane: Lane, renewal: tuple[int, str]) -> None:
        """Renew the access token of ``appid``. ``renewal``: number of the renewal, and the old token.

        Raises:
            TokenRefused, Unanswered, CheckRefused: there is no new token.
        """
        self._credential.parameters(appid, lane, ["renew", *renewal])

    def refuse_signature(self, check: Check, token: str | None) -> None:
        """Have the next call signed anew, because the platform has refused the signature."""
        if token is not None:
            self._credential.reject(check.appid, token)

    def authenticate(self, appid: str) -> None:
        """Make sure that calls for ``appid`` can be signed: an access token lives, or the platform gives one.

        Raises:
            TokenRefused, Unanswered, CheckRefused: no call for ``appid`` can be sent now.
        """
        self._credential.parameters(appid, "text")

    def quota(self, appid: str, lane: Lane) -> PlatformQuota:
        """Return the quota of a lane by the platform's own count.

        Raises:
            QuotaNotTold: the platform does not tell its count.
        """
        try:
            return quota_of(self._http, lane, self._credential.parameters(appid, lane))
        except (Unanswered, TokenRefused, CheckRefused) as error:
            raise QuotaNotTold(str(error) or type(error).__name__) from None

    def used_today(self, appid: str, lane: Lane) -> int | None:
        """Return the calls of a lane that the platform counts for today; None if the platform does not tell."""
        try:
            return self.quota(appid, lane).used
        except QuotaNotTold as error:
            log.warning("quota_not_told", str(error), appid=appid, lane=lane)
            return None
