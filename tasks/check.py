"""What the checks have in common: what becomes of an answer that is no verdict.

Beside a verdict there are three outcomes:

*snooze*  the quota is used up: the check goes back to its queue, with no attempt lost
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

from config.days import DAY
from config.logs import Log
from store.connection import STORE_AWAY, reason
from store.quota.permit import Snooze, Start
from store.quota.permits import BACKFILL_PRIORITY, STORE_PAUSE
from store.records.digest import digest_of
from store.records.endings import decode_ending, encode_ending
from store.records.records import Lost, Over, RecordState, Taken, record_state
from tasks.base import Concluded, EndingTask
from tasks.taken import forget_result, refuse_taken
from wechat.answers import Answer, TokenRefused, Unanswered
from wechat.errcodes import OK, Meaning, meaning
from worker.celery_parts.request import ALONE, HeldBack
from worker.fetching.consumer import Flows
from worker.messages import message_of, without_this_run
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

log = Log(__name__)

#: seconds that a retry waits at most
LONGEST_DELAY = 60
#: seconds over which the checks come back that were kept back from the day's reserve
RESERVE_SPREAD = 5
#: retries of a media call that the platform may have taken: it refuses a file that is sent too often (87020)
CAUTIOUS_RETRIES = 1


class CheckTask(EndingTask):
    """A task that calls the platform."""

    def give_back(self) -> NoReturn:
        """Gives the message back to its queue: the store is away, and without it nothing may be sent."""
        log.warning("store_away", f"{reason(sys.exception())}; its message goes back", task_id=self.request.id)
        self._hold_back("store", STORE_PAUSE)

    def ask(self, check: Check) -> Answer:
        """Sends ``check``; an answer that holds a verdict, or for media the promise of one.

        Raises:
            InvalidCheck, StaleCheck, CheckRefused, PlatformUnavailable: the check fails.
            CheckCancelled: it was cancelled while it was being sent, and would be sent again.
            Ignore, Retry: it comes back later.
            Concluded: a run before this one has its ending.
            HeldBack: it goes back to its queue, for there is no call for it now, or the store is away.
        """
        task_id = self.request.id
        self.this_run.appid = check.appid
        if not task_id:
            # its record would be that of every check without an id
            raise InvalidCheck("a check needs a task id: send it with apply_async, several as a group")
        try:
            if (self.request.delivery_info or {}).get("redelivered"):
                self._look()
            self._refuse_stale(check)
            try:
                sent = partial(Flows.sent, task_id)
                start = Start(check.appid, task_id, self.this_run.token, self.this_run.digest)
                answer = self.runtime.platform.call(check, start, self._admit, sent, low=self._is_low())
            except TokenRefused as refused:
                answer = refused.answer
                if meaning(answer.errcode) is Meaning.RENEW:
                    # said of a call for a token it means a wrong AppSecret: there is nothing to renew it with
                    self.runtime.statistics.call(check.appid, check.lane, "refused")
                    raise self.runtime.quota.stop(check.appid, answer) from None
            except Unanswered as unanswered:
                self.try_again(check, unanswered.reason, taken=unanswered.taken)
            except Snooze as snooze:
                self._snooze(check, snooze)
            self._judge(check, answer)
        except STORE_AWAY:
            self.give_back()
        return answer

    def message_to_replay(self, kwargs: Any) -> dict[str, Any]:  # noqa: ARG002
        message = message_of(self, sent_at=time.time(), retries=0)
        return {**message, "rest": without_this_run(message["rest"])}

    def digest(self, args: Any, kwargs: Any) -> str:
        return digest_of(self.name, args, kwargs)

    def conclude(self, run: Run, ended: Any) -> Any:
        if run.is_one_step:
            return ended  # nothing follows before the end, which says whether this run may end it
        task_id = self.request.id
        try:
            encoded, anew = self.insist(partial(self.runtime.records.note_ending, task_id, run, encode_ending(ended)))
            if anew:
                forget_result(self)
        except Taken:
            refuse_taken(self)
        except Over:
            self._ignore_repeated()
        except Lost:
            self.lose()
        except STORE_AWAY:
            self.give_back()
        run.is_recorded = True
        return decode_ending(encoded) if encoded and encoded != encode_ending(ended) else ended

    def keep_ending(self, run: Run, task_id: str, retval: Any) -> None:
        try:
            self.runtime.records.note_ending(task_id, run, encode_ending(retval))
        except (Over, Lost, Taken) as error:
            log.info("ending_not_kept", type(error).__name__, task_id=task_id, appid=run.appid)

    def commit(self, run: Run, task_id: str, retval: Any, kwargs: Any) -> bool:  # noqa: ARG002
        if not run.is_recorded and not run.is_one_step:
            # Celery has failed the check before it ran
            try:
                self.runtime.records.note_ending(task_id, run, encode_ending(retval))
            except (Over, Lost) as other:
                return isinstance(other, Over)
            except Taken:
                pass  # its end says so
        said = self.runtime.records.end_check(task_id, run)
        if said == "repeated":
            log.warning("end_repeated", "another run has ended it", task_id=task_id, appid=run.appid)
        elif said == "taken":
            # it failed before it was to be sent; what that sets going goes out, and no result is stored
            self.runtime.records.end_message(run)
            self.runtime.statistics.ended(retval, task_id, run.appid)
        elif said == "ended":
            self.runtime.statistics.ended(retval, task_id, run.appid)
        return said != "lost"

    def release(self, run: Run, task_id: str, kwargs: Any) -> None:  # noqa: ARG002
        self.runtime.records.give_up_lease(task_id, run.token)

    def _look(self) -> None:
        """Looks what became of a check whose message comes again, before it costs a permit."""
        run = self.this_run
        state = self.runtime.records.look(self.request.id, run.digest)
        if state in ("concluded", "cancelled"):
            self._take_up(self.runtime.records.lease(self.request.id, run.token, 0, run.digest), 0)
        elif state == "taken":
            refuse_taken(self)
        elif state != "go":
            self._ignore_repeated()

    def _admit(self, start: Start, seconds: float) -> None:
        """Lets the one run pass that may send the check, with a call that is over after ``seconds``."""
        if start.standing is not None:
            self._take_up(record_state(start.standing), seconds)

    def _take_up(self, found: RecordState, seconds: float) -> None:
        run = self.this_run
        while found.state == "busy":
            # it may be a run that died; if not, this one finds that it is done
            if self._shelve(time.time() + found.seconds, why="busy") != "free":
                raise Ignore
            found = self.runtime.records.lease(self.request.id, run.token, seconds, run.digest)
        if found.state == "taken":
            refuse_taken(self)
        if found.state in ("waiting", "done"):
            self._ignore_repeated()
        run.is_recorded = True
        if found.state == "concluded":
            raise Concluded(decode_ending(found.ending))
        if found.state == "cancelled":
            raise CheckCancelled
        if found.state == "anew":
            forget_result(self)

    def lose(self) -> NoReturn:
        """Leaves the check to the run that has it since; its message, where it is this run's still, comes back."""
        identity = {"task_id": self.request.id, "appid": self.this_run.appid}
        log.warning("check_lost", "another run has it since, or nobody knows of it", **identity)
        time.sleep(STORE_PAUSE)
        self._hold_back(ALONE, STORE_PAUSE)

    def _ignore_repeated(self) -> NoReturn:
        log.info("check_repeated", "it was sent before", task_id=self.request.id, appid=self.this_run.appid)
        raise Ignore

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
        said = meaning(answer.errcode)
        if said is Meaning.VERDICT and (answer.errcode == OK or check.lane == "text"):
            return
        if said not in (Meaning.RETRY, Meaning.RENEW):
            self.runtime.statistics.call(check.appid, check.lane, "refused")
        match said:
            case Meaning.RENEW:
                # once renewed and refused again: one more renewal would only be one more call
                raise PlatformUnavailable(answer.errcode)
            case Meaning.SNOOZE_SECOND | Meaning.SNOOZE_MINUTE | Meaning.SNOOZE_DAY:
                self.runtime.counters.count(f"closed_{check.lane}")
                self._snooze(check, self.runtime.quota.close(check.appid, check.lane, said, answer))
            case Meaning.RETRY:
                self.try_again(check, answer.errcode, taken=False)
            case Meaning.STOP:
                raise self.runtime.quota.stop(check.appid, answer)
            case _:
                raise CheckRefused(answer.errcode, answer.errmsg, answer.rid)

    def _is_low(self) -> bool:
        """Whether the check is a backfill, which users' posts come before."""
        priority = (self.request.delivery_info or {}).get("priority")
        return isinstance(priority, int) and priority >= BACKFILL_PRIORITY

    def _snooze(self, check: Check, snooze: Snooze) -> NoReturn:
        """Gives the check back to its queue, from which nothing is fetched until its lane opens."""
        self.runtime.statistics.call(check.appid, check.lane, "given_back")
        if snooze.why != "reserve":
            self._hold_back(snooze.why, snooze.seconds, check.appid)
        # the queue goes on for the others, so this one waits elsewhere; those of a day come back in their order
        now = time.time()
        self._shelve(now + snooze.seconds + now % DAY / DAY * RESERVE_SPREAD, why="later")
        raise Ignore

    def _hold_back(self, why: str, seconds: float, appid: str | None = None) -> NoReturn:
        try:
            if self.this_run.is_recorded and self.runtime.records.give_up_lease(self.request.id, self.this_run.token):
                raise CheckCancelled
        except STORE_AWAY as error:
            said = f"{type(error).__name__}; its lease ends"
            log.info("not_released", said, task_id=self.request.id, appid=appid)
        if not Flows.running:
            # nobody stops the queue (pools of greenlets): at least it does not run hot
            time.sleep(min(seconds, STORE_PAUSE))
        raise HeldBack(why, seconds, appid)

    def _shelve(self, until: float, why: Why, retries: int = 0) -> str:
        run = self.this_run
        message = message_of(self, sent_at=time.time(), retries=self.request.retries + retries)
        said = self.runtime.shelf.put(self.request.id, message, until, run.token, why, run.digest)
        run.is_shelved = said == "shelved"
        if said == "cancelled":
            raise CheckCancelled
        if said == "taken":
            refuse_taken(self)
        return said

    def try_again(self, check: Check, reason: int | str, *, taken: bool) -> NoReturn:
        """Retries the check later, while it has retries left.

        ``taken``: whether the platform may have taken this call all the same.
        """
        self.runtime.statistics.call(check.appid, check.lane, "retried")
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
            # where there is no token it has not been sent at all
            why: Why = "sent" if self.this_run.is_recorded else "later"
            said = self._shelve(time.time() + countdown, why, retries=1)
        except STORE_AWAY:
            self.give_back()
        if said == "over":
            self._ignore_repeated()
        if said == "lost":
            self.lose()
        # for the events and the result backend; Celery's own retry() would have a worker hold the message until then
        raise Retry(exc=failure, when=countdown, is_eager=False, sig=None)
