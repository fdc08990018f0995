"""The base of the check tasks: send a check, and deal with an answer that is no verdict.

Beside a verdict there are three outcomes:

*give back*  no call can be sent now: the check waits again, with no attempt lost
*retry*      a fault that passes: the check is tried again later, a bounded number of times
*refuse*     permanent: the check fails by name
"""

from __future__ import annotations

import json
import random
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from celery.exceptions import Ignore, Retry
from celery.states import RETRY

from config.logs import Log
from store.connection import STORE_AWAY, reason
from store.places.forms import Settled
from store.watch.counters import count
from tasks.base import WxcheckTask
from wechat.answers import Answer, TokenRefused, Unanswered
from wechat.errcodes import OK, Meaning, meaning
from wechat.verdicts import media_verdict
from worker.celery_parts.request import GivenBack
from worker.messages import renewed, with_retries
from wxcheck import (
    SENT_AT_HEADER,
    CheckCancelled,
    CheckRefused,
    InvalidCheck,
    PlatformUnavailable,
    PushTimeout,
    StaleCheck,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from store.places.forms import Result
    from wechat.checks import Check
    from worker.run import Run

log = Log(__name__)

#: most seconds that a retry waits
LONGEST_DELAY = 60
#: retries of a media call that the platform may have taken: a file that is sent too often is refused (87020)
CAUTIOUS_RETRIES = 1


class CheckTask(WxcheckTask):
    """A task that calls the platform, or tells how its check has ended."""

    def act(self, run: Run, args: Any, kwargs: Any) -> Any:
        cause = run.held.cause
        try:
            return self.run(run, *args, **kwargs) if cause is None else self._tell(run, cause, args, kwargs)
        except STORE_AWAY as error:
            log.warning("store_away", f"{reason(error)}; it waits again", task_id=run.task_id, appid=run.appid)
            self.give_back(run, "store")

    def _tell(self, run: Run, cause: dict[str, Any], args: Any, kwargs: Any) -> Any:
        """Return the verdict of a check whose end is known, or raise its failure."""
        match cause["ended"]:
            case "done":
                return media_verdict(json.loads(cause["push"]), run.held.check["media"], run.held.appid)
            case "timeout":
                raise PushTimeout(run.held.check["trace"])
            case "cancelled" | "revoked":
                raise CheckCancelled
            case "invalid":
                raise InvalidCheck(cause["said"])
            case "taken":
                raise InvalidCheck(
                    "task_id: a check with other content is under way by the same one; give each check a task id of "
                    "its own"
                )
            case "stale":
                raise StaleCheck(self._age(), self.runtime.settings.max_age)
        return self.run(run, *args, **kwargs)

    def ask(self, run: Run, check: Check) -> Answer:
        """Send ``check``. Return an answer that holds a verdict or, for media, the promise of a verdict.

        Raises:
            InvalidCheck, StaleCheck, CheckRefused, PlatformUnavailable: the check fails.
            Ignore: the check has moved, and is none of this run's any more.
            Retry: the check comes back later, one attempt lost.
        """
        self._refuse_stale(check)
        answer = self._call(run, check)
        self._judge(run, check, answer)
        return answer

    def _age(self) -> float:
        """Return the seconds since the application has sent the check."""
        sent_at = (self.request.headers or {}).get(SENT_AT_HEADER)
        return round(time.time() - sent_at, 3) if isinstance(sent_at, int | float) else 0.0

    def _refuse_stale(self, check: Check) -> None:
        """Fail a v2 check whose user has been away for too long, before the check costs a call."""
        max_age = self.runtime.settings.max_age
        if check.version != 1 and max_age and (age := self._age()) > max_age:
            raise StaleCheck(age, max_age)

    def _call(self, run: Run, check: Check) -> Answer:
        """Return the answer to ``check``."""
        calls, held = self.runtime.calls, run.held
        if held.refusal is not None:
            raise CheckRefused(*json.loads(held.refusal))
        try:
            if held.is_first:
                self.runtime.lanes.found_out(check.lane, check.appid, calls.used_today(check.appid, check.lane))
                self.give_back(run, "pause")
            if held.renew is not None:
                calls.renew(check.appid, check.lane, held.renew)
                self.give_back(run, "token")
            if held.permit is None:
                # its appId has come back into the settings since
                self.give_back(run, "late")
            if self.runtime.lanes.asks_for_count(check.lane, check.appid):
                self._compare(check)
            if not calls.wait_until_due(held.permit):
                run.settled = Settled(held.permit, was_sent=False)
                self.give_back(run, "late")
            answer = calls.send(run, check, held.permit, held.token)
            if meaning(answer.errcode) is Meaning.RENEW:
                self._sign_anew(run, check, answer)
        except TokenRefused as refused:
            if meaning(refused.answer.errcode) is not Meaning.RENEW:
                return refused.answer
            # as the answer to a call for a token, the errcode means a wrong AppSecret, which gives no new token either
            self.runtime.statistics.count("calls", check.appid, check.lane, "refused")
            raise self.runtime.closings.stop(check.appid, refused.answer) from None
        except Unanswered as unanswered:
            self.try_again(run, check, unanswered.reason, taken=unanswered.taken)
        return answer

    def _compare(self, check: Check) -> None:
        """Go on from the platform's count of today if it is higher: the lane's state is new."""
        used = self.runtime.calls.used_today(check.appid, check.lane)
        if used is not None:
            self.runtime.lanes.counted(check.lane, check.appid, used)

    def _sign_anew(self, run: Run, check: Check, answer: Answer) -> None:
        """Have the check sent once more with a new signature, if the platform has refused its signature."""
        self.runtime.calls.refuse_signature(check, run.held.token)
        text = renewed(run.held.text)
        if text is None:
            # the renewed token is refused too: another renewal would only cost another call
            raise PlatformUnavailable(answer.errcode)
        self.give_back(run, "token", text=text)

    def _judge(self, run: Run, check: Check, answer: Answer) -> None:
        """Let a verdict pass. Any other answer ends the check or puts it off."""
        said = meaning(answer.errcode)
        if said is Meaning.VERDICT and (answer.errcode == OK or check.lane == "text"):
            return
        if said not in (Meaning.RETRY, Meaning.RENEW):
            self.runtime.statistics.count("calls", check.appid, check.lane, "refused")
        match said:
            case Meaning.SNOOZE_SECOND | Meaning.SNOOZE_MINUTE | Meaning.SNOOZE_DAY:
                count(self.runtime.store, f"closed_{check.lane}")
                self.runtime.closings.close(check.appid, check.lane, said, answer)
                self.runtime.statistics.count("calls", check.appid, check.lane, "given_back")
                self.give_back(run, "closed")
            case Meaning.RETRY:
                self.try_again(run, check, answer.errcode, taken=False)
            case Meaning.STOP:
                raise self.runtime.closings.stop(check.appid, answer)
            case _:
                raise CheckRefused(answer.errcode, answer.errmsg, answer.rid)

    def try_again(self, run: Run, check: Check, fault: int | str, *, taken: bool) -> NoReturn:
        """Retry the check later, while the check has retries left.

        ``fault``: the errcode, or a few words. ``taken``: the platform may have taken this call all the same.

        Raises:
            Retry: the check is on the shelf.
            PlatformUnavailable: no retry is left.
            CheckCancelled, Ignore: as :meth:`give_back`.
        """
        self.runtime.statistics.count("calls", check.appid, check.lane, "retried")
        settings = self.runtime.settings
        retries = settings.api_retries
        if taken and check.lane == "media":
            retries = min(retries, CAUTIOUS_RETRIES)
        failure = PlatformUnavailable(fault)
        if self.request.retries >= retries:
            raise failure
        delay = min(settings.retry_delay * 2**self.request.retries, LONGEST_DELAY)
        # jitter: checks that failed together must not come back together
        countdown = delay * random.uniform(0.5, 1.5)  # noqa: S311
        text = with_retries(run.held.text, self.request.retries + 1)
        shown = self.shown(run, failure, RETRY)
        at = time.time() + countdown
        self._let_wait(run, at=at, text=text, shown=shown)
        # tells events and result backend; Celery's own retry() would have a worker keep the message until then
        raise Retry(exc=failure, when=countdown, is_eager=False, sig=None)

    def give_back(self, run: Run, why: str, text: str = "") -> NoReturn:
        """Let the check wait again, at its old place. ``text``: message that takes the place of its own.

        Raises:
            GivenBack: it waits.
            Ignore: another run has it.
        """
        self._let_wait(run, text=text)
        raise GivenBack(why)

    def _let_wait(self, run: Run, **how: Any) -> None:
        if self.move(run, partial(run.in_hand.give_back, run.settled, **how)) == "lost":
            log.warning("check_lost", "another run has it", task_id=run.task_id, appid=run.appid)
            raise Ignore

    def shown(self, run: Run, said: Any, state: str) -> Result | None:
        """Return the result that shows a check in a ``state``, to be stored in the step that moves the check there.

        Where results are in another Redis it is stored here. The call was sent: no error here may keep the check from
        its move.
        """
        if self.request.ignore_result:
            return None
        try:
            kept: Result = self.backend.stored(
                self.request.id, self.backend.encode_result(said, state), state, request=self.request
            )
            if self.runtime.settings.backend == self.runtime.settings.redis_url:
                return kept
            if self.runtime.places.is_held(run.held):
                self.backend.store_kept([kept])
        except Exception as error:  # noqa: BLE001 - each backend has errors of its own
            log.warning("state_not_shown", f"{state}: {type(error).__name__}", task_id=run.task_id, appid=run.appid)
        return None

    def move(self, run: Run, step: Callable[[], str]) -> str:
        """Move the check by a step of its hand. Return what the step says.

        Raises:
            Ignore: the store is away: the check's lease ends, and another run gets it.
        """
        try:
            return self.insist(run, step)
        except STORE_AWAY as error:
            said = f"{reason(error)}; its lease ends, and another run gets it"
            log.warning("store_away", said, task_id=run.task_id, appid=run.appid)
            run.in_hand.is_moved = True
            raise Ignore from None
