"""The base of the check tasks: send a check, and deal with an answer that is no verdict.

Beside a verdict there are three outcomes:

*snooze*  the quota allows no call now: the check comes back later, with no attempt lost
*retry*   a fault that passes: the check is tried again later, a bounded number of times
*refuse*  permanent: the check fails by name
"""

from __future__ import annotations

import random
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from celery.exceptions import Ignore, Retry

from config.days import DAY, seconds_of_day
from config.logs import Log
from store.connection import STORE_AWAY, reason
from store.quota.permit import Snooze
from store.quota.permits import BACKFILL_PRIORITY, STORE_PAUSE
from store.records.digest import digest_of
from store.records.endings import decode_ending, encode_ending
from store.records.records import Lost, Over, RecordState, Taken
from tasks.base import EndingNoted, EndingTask
from tasks.taken import forget_result, refuse_taken
from wechat.answers import Answer, TokenRefused, Unanswered
from wechat.errcodes import OK, Meaning, meaning
from worker.celery_parts.request import ALONE, GivenBack
from worker.messages import COMES_AGAIN_HEADER, message_of, without_this_run
from wxcheck import (
    SENT_AT_HEADER,
    CheckCancelled,
    CheckRefused,
    InvalidCheck,
    PlatformUnavailable,
    StaleCheck,
)

if TYPE_CHECKING:
    from store.outbox.outbox import Run
    from store.shelf.shelf import Why
    from wechat.checks import Check
    from worker.call import Leave

log = Log(__name__)

#: most seconds that a retry waits
LONGEST_DELAY = 60
#: seconds over which checks come back from which the day's reserve was kept
RESERVE_SPREAD = 5
#: permits that a check lets pass because its process stood still, before the check comes back later
LATE = 3
#: retries of a media call that the platform may have taken: a file that is sent too often is refused (87020)
CAUTIOUS_RETRIES = 1


class CheckTask(EndingTask):
    """A task that calls the platform."""

    def ask(self, run: Run, check: Check) -> Answer:
        """Send ``check``. Return an answer that holds a verdict or, for media, the promise of a verdict.

        Raises:
            InvalidCheck, StaleCheck, CheckRefused, PlatformUnavailable: the check fails.
            CheckCancelled: the check was cancelled while it was being sent, and would be sent again.
            Ignore: the check comes back later, or another run has sent it.
            Retry: the check comes back later, one attempt lost.
            EndingNoted: an earlier run has noted how the check ends.
            GivenBack: the check goes back to its queue, because there is no permit now or the store is away.
        """
        run.appid = check.appid
        if not self.request.id:
            # all checks without an id would share one record
            raise InvalidCheck("a check needs a task id: send it with apply_async, several as a group")
        try:
            if self._comes_again():
                self._look(run)
            self._refuse_stale(check)
            answer = self._call(run, check)
            self._judge(run, check, answer)
        except STORE_AWAY:
            self.give_back_for_store(run)
        return answer

    def _comes_again(self) -> bool:
        """True if the message was delivered before."""
        redelivered = (self.request.delivery_info or {}).get("redelivered")
        return bool(redelivered or (self.request.headers or {}).get(COMES_AGAIN_HEADER))

    def _look(self, run: Run) -> None:
        """Look up the record of a check whose message comes again, before the check costs a permit."""
        state = self.runtime.records.look(self.request.id, run.digest)
        if state in ("noted", "cancelled"):
            self._take_up(run, self.runtime.records.lease(self.request.id, run.token, 0, run.digest), 0)
        elif state == "taken":
            refuse_taken(self, run)
        elif state != "go":
            self._ignore_repeated(run)

    def _take_up(self, run: Run, found: RecordState, seconds: float) -> None:
        """Let only the run pass that may send the check, with a call that is over after ``seconds``."""
        while found.state == "busy":
            # the other run may have died; if not, the check is done when it comes back
            if self._shelve(run, time.time() + found.seconds, why="busy") != "free":
                raise Ignore
            found = self.runtime.records.lease(self.request.id, run.token, seconds, run.digest)
        if found.state == "taken":
            refuse_taken(self, run)
        if found.state in ("waiting", "done"):
            self._ignore_repeated(run)
        run.is_recorded = True
        if found.state == "noted":
            raise EndingNoted(decode_ending(found.ending))
        if found.state == "cancelled":
            raise CheckCancelled
        if found.state == "anew":
            forget_result(self, run)

    def _refuse_stale(self, check: Check) -> None:
        """Fail a v2 check whose user has been away for too long, before the check costs a call."""
        sent_at = (self.request.headers or {}).get(SENT_AT_HEADER)
        max_age = self.runtime.settings.max_age
        if check.version == 1 or not max_age or not isinstance(sent_at, (int, float)):
            return
        age = time.time() - sent_at
        if age > max_age:
            raise StaleCheck(round(age, 3), max_age)

    def _call(self, run: Run, check: Check) -> Answer:
        """Return the answer to ``check``. A refused token is renewed once, and the check is sent once more."""
        calls = self.runtime.calls
        try:
            leave = self._reserve(run, check)
            answer = calls.send(leave)
            if meaning(answer.errcode) is Meaning.RENEW:
                calls.refuse_signature(leave)
                answer = calls.send(self._reserve(run, check))
        except TokenRefused as refused:
            if meaning(refused.answer.errcode) is not Meaning.RENEW:
                return refused.answer
            # as the answer to a call for a token, the errcode means a wrong AppSecret, which gives no new token either
            self.runtime.statistics.call(check.appid, check.lane, "refused")
            raise self.runtime.quota.stop(check.appid, refused.answer) from None
        except Unanswered as unanswered:
            self.try_again(run, check, unanswered.reason, taken=unanswered.taken)
        except Snooze as snooze:
            self._snooze(run, check, snooze)
        return answer

    def _reserve(self, run: Run, check: Check) -> Leave:
        """Return the leave to send ``check`` now: the send time has come, and the record is this run's."""
        calls = self.runtime.calls
        for _ in range(LATE):
            leave = calls.reserve(check, run, low=self._is_low())
            try:
                self._take_up(run, leave.record, leave.seconds)
            except BaseException:
                calls.unused(leave)
                raise
            if calls.wait_until_due(leave):
                if run.in_hand is not None:
                    run.in_hand.goes_out(leave.permit.ahead)
                return leave
        raise Snooze(0.0, "late")

    def _judge(self, run: Run, check: Check, answer: Answer) -> None:
        """Let a verdict pass. Any other answer ends the check or puts it off."""
        said = meaning(answer.errcode)
        if said is Meaning.VERDICT and (answer.errcode == OK or check.lane == "text"):
            return
        if said not in (Meaning.RETRY, Meaning.RENEW):
            self.runtime.statistics.call(check.appid, check.lane, "refused")
        match said:
            case Meaning.RENEW:
                # the renewed token is refused too: another renewal would only cost another call
                raise PlatformUnavailable(answer.errcode)
            case Meaning.SNOOZE_SECOND | Meaning.SNOOZE_MINUTE | Meaning.SNOOZE_DAY:
                self.runtime.counters.count(f"closed_{check.lane}")
                self._snooze(run, check, self.runtime.quota.close(check.appid, check.lane, said, answer))
            case Meaning.RETRY:
                self.try_again(run, check, answer.errcode, taken=False)
            case Meaning.STOP:
                raise self.runtime.quota.stop(check.appid, answer)
            case _:
                raise CheckRefused(answer.errcode, answer.errmsg, answer.rid)

    def _snooze(self, run: Run, check: Check, snooze: Snooze) -> NoReturn:
        """Give the check back to its queue, or lay it on the shelf if only the day's reserve is left."""
        self.runtime.statistics.call(check.appid, check.lane, "given_back")
        if snooze.why != "reserve":
            self._give_back(run, snooze.why, snooze.seconds, check.appid)
        # the queue goes on for other checks, so this check waits on the shelf; those of one day come back in order
        now = time.time()
        self._shelve(run, now + snooze.seconds + spread_of(now), why="later")
        raise Ignore

    def try_again(self, run: Run, check: Check, fault: int | str, *, taken: bool) -> NoReturn:
        """Retry the check later, while the check has retries left.

        ``fault``: the errcode, or a few words. ``taken``: the platform may have taken this call all the same.

        Raises:
            Retry: the check is on the shelf.
            PlatformUnavailable: no retry is left.
            CheckCancelled, Ignore, GivenBack: as :meth:`ask`.
        """
        self.runtime.statistics.call(check.appid, check.lane, "retried")
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
        try:
            # without a token there is no record, and nothing was sent
            why: Why = "sent" if run.is_recorded else "later"
            said = self._shelve(run, time.time() + countdown, why, retries=1)
        except STORE_AWAY:
            self.give_back_for_store(run)
        if said == "over":
            self._ignore_repeated(run)
        if said == "lost":
            self.lose(run)
        # tells events and result backend; Celery's own retry() would have a worker keep the message until then
        raise Retry(exc=failure, when=countdown, is_eager=False, sig=None)

    def give_back_for_store(self, run: Run) -> NoReturn:
        """Give the message back to its queue, because the store is away and nothing may be sent without the store."""
        log.warning("store_away", f"{reason(sys.exception())}; its message goes back", task_id=self.request.id)
        self._give_back(run, "store", STORE_PAUSE)

    def lose(self, run: Run) -> NoReturn:
        """Leave the check to the run that has it now. The message comes back if it is still this run's."""
        said = "another run has the check, or its record is gone"
        log.warning("check_lost", said, task_id=self.request.id, appid=run.appid)
        time.sleep(STORE_PAUSE)
        self._give_back(run, ALONE, STORE_PAUSE)

    def _ignore_repeated(self, run: Run) -> NoReturn:
        log.info("check_repeated", "it was sent before", task_id=self.request.id, appid=run.appid)
        raise Ignore

    def _give_back(self, run: Run, why: str, seconds: float, appid: str | None = None) -> NoReturn:
        try:
            if run.is_recorded and self.runtime.records.give_up_lease(self.request.id, run.token):
                raise CheckCancelled
        except STORE_AWAY as error:
            said = f"{type(error).__name__}; its lease ends"
            log.info("not_released", said, task_id=self.request.id, appid=appid)
        if run.in_hand is None:
            # no flow pauses the queue here: without a sleep the message would be fetched again at once
            time.sleep(min(seconds, STORE_PAUSE))
        raise GivenBack(why, seconds, appid)

    def _shelve(self, run: Run, until: float, why: Why, retries: int = 0) -> str:
        message = message_of(self, sent_at=time.time(), retries=self.request.retries + retries)
        said = self.runtime.shelf.put(self.request.id, message, until, run.token, why, run.digest)
        run.is_shelved = said == "shelved"
        if said == "cancelled":
            raise CheckCancelled
        if said == "taken":
            refuse_taken(self, run)
        return said

    def _is_low(self) -> bool:
        """True if the check is of low priority, which gives way to users' posts."""
        priority = (self.request.delivery_info or {}).get("priority")
        return isinstance(priority, int) and priority >= BACKFILL_PRIORITY

    def digest(self, args: Any, kwargs: Any) -> str:
        return digest_of(self.name, args, kwargs)

    def note_ending(self, run: Run, ended: Any) -> Any:
        if run.is_one_step:
            return ended  # nothing follows before the end, and the end itself tells whether this run may end the check
        task_id = self.request.id
        try:
            encoded, anew = self.insist(partial(self.runtime.records.note_ending, task_id, run, encode_ending(ended)))
            if anew:
                forget_result(self, run)
        except Taken:
            refuse_taken(self, run)
        except Over:
            self._ignore_repeated(run)
        except Lost:
            self.lose(run)
        except STORE_AWAY:
            self.give_back_for_store(run)
        run.is_recorded = True
        return decode_ending(encoded) if encoded and encoded != encode_ending(ended) else ended

    def keep_ending(self, run: Run, task_id: str, retval: Any) -> None:
        try:
            self.runtime.records.note_ending(task_id, run, encode_ending(retval))
        except (Over, Lost, Taken) as error:
            log.info("ending_not_kept", type(error).__name__, task_id=task_id, appid=run.appid)

    def store_end(self, run: Run, task_id: str, retval: Any, kwargs: Any) -> bool:  # noqa: ARG002
        if not run.is_recorded and not run.is_one_step:
            # Celery has failed the check before the task's function ran
            try:
                self.runtime.records.note_ending(task_id, run, encode_ending(retval))
            except Over:
                return True
            except Lost:
                return False
            except Taken:
                pass  # end_check answers the same
        said = self.runtime.records.end_check(task_id, run)
        if said == "repeated":
            log.warning("end_repeated", "another run has ended it", task_id=task_id, appid=run.appid)
        elif said == "taken":
            # the check failed before it was sent: its errbacks go out, and no result is stored
            self.runtime.records.end_message(run)
            self.runtime.statistics.ended(retval, task_id, run.appid)
        elif said == "ended":
            self.runtime.statistics.ended(retval, task_id, run.appid)
        return said != "lost"

    def leave_to_others(self, run: Run, task_id: str, kwargs: Any) -> None:  # noqa: ARG002
        self.runtime.records.give_up_lease(task_id, run.token)

    def message_to_replay(self, kwargs: Any) -> dict[str, Any]:  # noqa: ARG002
        message = message_of(self, sent_at=time.time(), retries=0)
        return {**message, "rest": without_this_run(message["rest"])}


def spread_of(now: float) -> float:
    """Return the seconds that a check waits beyond midnight in Shanghai, the later in the day it came, the more."""
    return seconds_of_day(now) / DAY * RESERVE_SPREAD
