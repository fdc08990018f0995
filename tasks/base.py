"""What the checks have in common: how they are shown, and what becomes of an answer that is no verdict.

Beside a verdict there are three outcomes:

*snooze*  the quota is used up: the check goes on the shelf and comes back, with no attempt lost
*retry*   a fault that passes: the check is tried again later, a bounded number of times
*refuse*  permanent: the check fails by name
"""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING, NoReturn, TypeVar

from celery import Task
from celery.exceptions import Ignore, Reject
from kombu.exceptions import OperationalError

from config.store import STORE_AWAY
from worker.answers import Answer, TokenRefused, Unanswered
from worker.errcodes import OK, Meaning, meaning
from worker.lanes import Snooze
from worker.messages import HIDDEN, message_of
from worker.runtime import Runtime, publish_finish, runtime
from wxcheck import SENT_AT_HEADER, CheckError, CheckRefused, PlatformUnavailable, StaleCheck

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.checks import Check
    from worker.parking import Parked

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: seconds that a retry waits at most
LONGEST_DELAY = 60
#: seconds before a message goes back to the broker, or a step is tried again, because the store is away
STORE_PAUSE = 1
#: how often a step is tried that must not be lost, for what came before it cannot be taken back
STORE_ATTEMPTS = 10
#: retries of a media call that the platform may have taken: it refuses a file that is sent too often (87020)
CAUTIOUS_RETRIES = 1


class WxcheckTask(Task):  # type: ignore[misc]  # Celery ships no types
    """A task whose arguments are never shown."""

    Request = "worker.request:CheckRequest"
    #: failures that are part of the bargain: logged in a line, without a traceback
    throws = (CheckError,)
    #: characters of a result that are shown: 'suggest' and 'label', but not 'detail', which may quote the user's text
    resultrepr_maxsize = 64

    @property
    def runtime(self) -> Runtime:
        return runtime()

    def insist(self, step: Callable[[], T]) -> T:
        """Does a step of the store that must not be lost, if need be several times.

        Raises:
            one of STORE_AWAY: the store stays away.
        """
        for _ in range(STORE_ATTEMPTS - 1):
            try:
                return step()
            except STORE_AWAY as error:
                logger.warning("store_away task_id=%s: %s; trying on", self.request.id, type(error).__name__)
                time.sleep(STORE_PAUSE)
        return step()

    def give_back(self) -> NoReturn:
        """Gives the message back to its queue: the store is away, and without it nothing may be sent."""
        time.sleep(STORE_PAUSE)
        raise Reject("the store is away", requeue=True)

    def finish(self, parked: Parked) -> None:
        """Publishes the finish of a check, or leaves it to the sweeper, which does it when its lease is over."""
        try:
            publish_finish(self.app, parked)
        except OperationalError as error:
            logger.warning("finish_not_published task_id=%s: %s; the sweeper does it", parked.task_id, error)


class CheckTask(WxcheckTask):
    """A task that calls the platform."""

    def ask(self, check: Check) -> Answer:
        """Sends ``check``; an answer that holds a verdict, or for media the promise of one.

        Raises:
            StaleCheck, CheckRefused, PlatformUnavailable: the check fails.
            Ignore, Retry: it comes back later.
            Reject: the store is away; it goes back to its queue.
        """
        try:
            self._refuse_stale(check)
            try:
                self.runtime.lanes.enter(check.appid, check.lane)
                answer = self.runtime.platform.call(check)
            except TokenRefused as refused:
                answer = refused.answer
                if meaning(answer.errcode) is Meaning.RENEW:
                    # said of a call for a token it means a wrong AppSecret: there is nothing to renew it with
                    raise self.runtime.lanes.stop(check.appid, answer) from None
            except Unanswered as unanswered:
                self.try_again(check, unanswered.reason, taken=unanswered.taken)
            except Snooze as snooze:
                self._snooze(check, snooze)
            self._judge(check, answer)
        except STORE_AWAY:
            self.give_back()
        return answer

    def _refuse_stale(self, check: Check) -> None:
        """A v2 check whose user has been away for too long costs no call."""
        sent_at = (self.request.headers or {}).get(SENT_AT_HEADER)
        max_age = self.runtime.settings.max_age
        if check.version == 1 or not max_age or not isinstance(sent_at, (int, float)):
            return
        age = time.time() - sent_at
        if age > max_age:
            raise StaleCheck(round(age, 3), max_age)

    def _judge(self, check: Check, answer: Answer) -> None:
        """Lets a verdict pass; everything else ends or puts off the check."""
        match meaning(answer.errcode):
            case Meaning.VERDICT if answer.errcode == OK or check.lane == "text":
                return
            case Meaning.RENEW:
                # once renewed and refused again: one more renewal would only be one more call
                raise PlatformUnavailable(answer.errcode)
            case Meaning.SNOOZE_SECOND | Meaning.SNOOZE_MINUTE | Meaning.SNOOZE_DAY as held:
                self.runtime.counters.count(f"held_{check.lane}")
                self._snooze(check, self.runtime.lanes.hold(check.appid, check.lane, held, answer))
            case Meaning.RETRY:
                self.try_again(check, answer.errcode, taken=False)
            case Meaning.STOP:
                raise self.runtime.lanes.stop(check.appid, answer)
            case _:
                raise CheckRefused(answer.errcode, answer.errmsg, answer.rid)

    def _snooze(self, check: Check, snooze: Snooze) -> NoReturn:
        """Lays the check on the shelf until its lane opens."""
        program = self.runtime.settings.programs[check.appid]
        per_minute = program.text_per_minute if check.lane == "text" else program.media_per_minute
        message = message_of(self, sent_at=time.time())
        self.runtime.shelf.put(check.appid, check.lane, self.request.id, message, snooze.until, 60 / per_minute)
        raise Ignore

    def try_again(self, check: Check, reason: int | str, *, taken: bool) -> NoReturn:
        """Retries the check later, while it has retries left.

        ``taken``: whether the platform may have taken this call all the same.
        """
        settings = self.runtime.settings
        retries = settings.api_retries
        if taken and check.lane == "media":
            retries = min(retries, CAUTIOUS_RETRIES)
        failure = PlatformUnavailable(reason)
        if self.request.retries >= retries:
            raise failure
        delay = min(settings.retry_delay * 2**self.request.retries, LONGEST_DELAY)
        # jitter: what failed together must not come back together
        countdown = delay * random.uniform(0.5, 1.5)  # noqa: S311
        try:
            self.retry(exc=failure, countdown=countdown, max_retries=retries, **HIDDEN)
        except Reject as rejected:
            # the broker did not take the retry, and Celery would drop the check for that
            raise Reject(rejected.reason, requeue=True) from None
        raise failure  # not reached: retry() always raises
