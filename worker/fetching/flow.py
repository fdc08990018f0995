"""A flow fetches the checks of one queue as permits come, so that no check waits in a worker's memory or slots.

The queue has a channel of its own, with a window (:mod:`worker.fetching.window`). A check that gets no permit goes
back to its place in the queue. If no other check in hand waits for its send time, the queue is paused until permits
come. With several Mini Programs on one queue a pause would hold up the others. There the check moves to its appId's own
queue, ``wxcheck.text.<appid>``, and later checks of the same appId follow until the own queue is empty.
"""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING, Any

from kombu.exceptions import ChannelError

from config.celery import queue_named
from config.logs import Log
from config.names import REFUSE
from store.connection import STORE_AWAY
from store.quota.permits import LOOK_AHEAD
from worker.celery_parts.request import ALONE
from worker.fetching.in_hand import InHand
from worker.fetching.reading import ReadingConsumer
from worker.fetching.transport import Channel as RedisChannel
from worker.fetching.window import Window
from worker.messages import appid_of, digest_in, raw_message, time_in
from worker.runtime import runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu import Message

    from config.lanes import Lane
    from store.quota.permit import Snooze
    from worker.fetching.consumer import Flows

log = Log(__name__)

#: seconds over which messages are gathered, to be given back together and in their order; the longer time holds while
#: other messages in hand may come back too
GATHER = 0.05
GATHER_LONGEST = 1.5
#: seconds between two looks at a lane that is closed for longer: meanwhile a clock may be put right, a rate be raised
LOOK = 1.0


class Flow:
    """The consumption of one queue of checks by this worker.

    Only :meth:`given_back` and :meth:`goes_out` may be called outside of the hub's thread.
    """

    def __init__(self, flows: Flows, name: str, lane: Lane, appid: str | None, cap: int) -> None:
        self._flows = flows
        self.lane = lane
        #: appId of all checks of the queue; None: several appIds
        self._appid = appid
        self.name = name
        self.window = Window(cap)
        self._fetched = 0
        #: running number of each message in hand, by delivery tag
        self._in_hand: dict[Any, int] = {}
        #: delivery tags of the messages whose call is sent
        self._sent: set[Any] = set()
        #: appId of each check in hand, by delivery tag; empty for a queue of one appId
        self._whose: dict[Any, str | None] = {}
        self._returning: list[tuple[int, Message]] = []
        self._gathering = False
        self._gather_until = 0.0
        #: messages whose call is sent may come back, too, because the platform refuses calls
        self._all_may_return = False
        #: appIds whose messages go to their own queue when they are given back
        self._elsewhere: set[str] = set()
        self._paused = False
        self._closed = False
        self._told_size = 0
        self.busy_at = time.monotonic()
        self._channel = flows.consumer.connection.channel()
        self._consumer = ReadingConsumer(
            self._channel,
            queues=[queue_named(name)],
            accept=flows.consumer.app.conf.accept_content,
            on_message=self._on_message,
        )
        #: the broker is about to be told the number of messages that may be in hand
        self._telling = False
        self._tell_size()
        self._consumer.consume()

    @property
    def at_work(self) -> bool:
        """True if messages of the flow take slots."""
        return bool(self._in_hand)

    @property
    def idle(self) -> bool:
        """True if no message of the flow is in hand."""
        return not self._in_hand and not self._returning

    def size(self) -> int:
        """Return the number of messages that wait in the queue."""
        (queue,) = self._consumer.queues
        try:
            return int(queue.queue_declare(passive=True).message_count)
        except ChannelError:
            return 0  # in Redis an empty queue does not exist

    def given_back(self, message: Message, why: str, seconds: float, appid: str | None) -> None:
        """Take back a message whose check may not be sent for ``seconds``. Safe to call from any thread."""
        self._flows.call(self._take_back, message, why, seconds, appid)

    def goes_out(self, tag: Any, ahead: float) -> None:
        """Record that the call of a message in hand is being sent. Safe to call from any thread.

        ``ahead``: seconds that its permit lay in the future.
        """
        self._flows.call(self._sends, tag, ahead)

    def _sends(self, tag: Any, ahead: float) -> None:
        if tag in self._in_hand and tag not in self._sent:
            self._sent.add(tag)
            # no Mini Program may wait for the permits of another: without a permit its checks go to their own queue
            self.window.granted(ahead if self._appid is not None else None)
            self.tell_size()

    def close(self) -> None:
        """Stop consuming. Messages in hand end, or are given back."""
        if not self._closed:
            self._closed = True
            self._consumer.cancel()
            self._give_back()

    def drop(self) -> None:
        """Stop consuming, and close the channel."""
        self.close()
        self._channel.close()

    def _on_message(self, message: Message) -> None:
        if self._closed:
            message.reject_log_error(log.logger, self._flows.consumer.connection_errors, requeue=True)
            return
        self.busy_at = time.monotonic()
        self._fetched += 1
        tag = message.delivery_tag
        self._in_hand[tag] = self._fetched
        if len(self._in_hand) == 1:
            self._flows.share_anew()
        message.flow = self
        message.in_hand = InHand(self.goes_out, tag)
        message.ack = self._watched(message, message.ack)
        message.reject = self._watched(message, message.reject)
        message.requeue = self._watched(message, message.requeue)
        if not self._sets_aside(message):
            self._flows.handle(message)

    def _watched(self, message: Message, end: Callable[..., Any]) -> Callable[..., Any]:
        def ended(*args: Any, **kwargs: Any) -> Any:
            sent = message.delivery_tag in self._sent
            if self._let_go(message) is not None:
                if not sent:
                    self.window.granted(None)
                self.tell_size()
                if not self._in_hand:
                    self._flows.share_anew()
            return end(*args, **kwargs)

        return ended

    def _let_go(self, message: Message) -> int | None:
        """Strike a message off those in hand. Return its running number; None if it was not in hand."""
        tag = message.delivery_tag
        self._whose.pop(tag, None)
        self._sent.discard(tag)
        return self._in_hand.pop(tag, None)

    def _sets_aside(self, message: Message) -> bool:
        """Take a message out of the way that cannot be sent now: one with a countdown, or of a crowded appId."""
        if message.headers.get("task") == REFUSE:
            return False  # a refusal has no appId, and sends nothing
        try:
            at = time_in(message, "eta")
            if at is not None and at > time.time() + LOOK_AHEAD:
                queue = self.name.removesuffix(f".{self._appid}")
                task_id, digest = message.headers["id"], digest_in(message)
                if runtime().shelf.put(task_id, raw_message(message, queue), at, digest=digest) == "taken":
                    # the check fails by name, and at once
                    del message.headers["eta"]
                    return False
            elif self._appid is not None:
                return False
            else:
                appid = appid_of(message, runtime().settings.default_appid)
                if not self._is_crowded(appid):
                    self._whose[message.delivery_tag] = appid
                    return False
                appid = str(appid)
                if appid in self._elsewhere and self._flows.readdress(message, self.lane, appid):
                    # fetched together with messages that are being given back, so given back together
                    self._return(self._let_go(message) or 0, message)
                    return True
                self._flows.crowd(self.lane, appid)
                self._flows.move(message, self.lane, appid)
        except STORE_AWAY + self._flows.publish_errors as error:
            log.warning("not_set_aside", type(error).__name__, task_id=message.headers.get("id"))
            self._take_back(message, "store", LOOK, None)
        except Exception as error:  # noqa: BLE001 - the error must not end one worker after the other
            log.warning("unreadable", type(error).__name__, task_id=message.headers.get("id"))
            return False  # Celery, or the task, refuses the message by name
        else:
            message.ack_log_error(log.logger, self._flows.consumer.connection_errors)
        return True

    def _is_crowded(self, appid: str | None) -> bool:
        """True if an appId has its own queue, or so many checks in hand that other appIds would have to wait."""
        if appid not in runtime().settings.programs:
            return False  # an appId without settings: the task refuses the check
        if appid in self._flows.crowds[self.lane]:
            return True
        return sum(whose == appid for whose in self._whose.values()) >= max(1, self.window.cap // 2)

    def _take_back(self, message: Message, why: str, seconds: float, appid: str | None) -> None:
        number = self._let_go(message)
        if number is None or message.acknowledged:
            return
        self._all_may_return |= why not in ("minute", ALONE)
        elsewhere = self._appid is None and appid is not None and not self._closed
        if elsewhere and appid is not None and self._moved(message, appid, seconds):
            return
        if why in (ALONE, "store"):
            self._mark(message)
        self._return(number, message)
        if self._closed:
            self._give_back()
            return
        if elsewhere:
            return
        if why == ALONE:
            self.tell_size()
            return
        waiting = len(self._in_hand) - len(self._sent)
        self.window.refused(waiting)
        self.tell_size()
        if not waiting or seconds > LOOK:
            self.pause(seconds, why)

    def _moved(self, message: Message, appid: str, seconds: float) -> bool:
        """Move a message to its appId's own queue. Return False if the message must still be given back."""
        try:
            self._flows.crowd(self.lane, appid, seconds)
            if self._flows.readdress(message, self.lane, appid):
                self._elsewhere.add(appid)
                return False
            self._flows.move(message, self.lane, appid)
        except STORE_AWAY + self._flows.publish_errors as error:
            log.warning("not_moved", type(error).__name__, task_id=message.headers.get("id"), appid=appid)
            return False
        message.ack_log_error(log.logger, self._flows.consumer.connection_errors)
        return True

    def _mark(self, message: Message) -> None:
        """Mark a message as redelivered: its check may be on its way, or have its ending."""
        if not isinstance(message.channel, RedisChannel):
            return  # any other broker marks messages itself
        try:
            message.channel.readdress(message, self.name, redelivered=True)
        except self._flows.consumer.connection_errors as error:
            log.info("not_marked", type(error).__name__, task_id=message.headers.get("id"))

    def _return(self, number: int, message: Message) -> None:
        """Give a message back, together with those that come soon."""
        self._returning.append((number, message))
        if not self._gathering and not self._closed:
            self._gathering = True
            self._gather_until = time.monotonic() + GATHER_LONGEST
            self._flows.later(GATHER, self._gather)

    def _gather(self) -> None:
        """Give back together the messages that were fetched together: a message given back later goes before them."""
        whose = {self._whose_is(message) for _, message in self._returning}
        may_return = set(self._in_hand) - (set() if self._all_may_return else self._sent)
        others = any(self._whose.get(tag) in whose for tag in may_return) if self._appid is None else may_return
        may_come = self._one_comes or (others and (self._paused or self._appid is None))
        if may_come and time.monotonic() < self._gather_until:
            self._flows.later(GATHER, self._gather)
        else:
            self._give_back()

    @property
    def _one_comes(self) -> bool:
        """True if a message may be on its way although the queue is paused.

        The transport gives such a message back at once, so messages fetched earlier must be given back after that.
        """
        return self._paused and isinstance(self._channel, RedisChannel) and self._channel.is_fetching

    def _whose_is(self, message: Message) -> str | None:
        return appid_of(message, runtime().settings.default_appid)

    def _give_back(self) -> None:
        """Give back the messages that were fetched in vain, the last one first: each goes to the front of the queue."""
        self._gathering = self._all_may_return = False
        returning, self._returning = self._returning, []
        elsewhere, self._elsewhere = self._elsewhere, set()
        for _, message in sorted(returning, key=lambda fetched: fetched[0], reverse=True):
            try:
                message.reject_log_error(log.logger, self._flows.consumer.connection_errors, requeue=True)
            except Exception as error:  # noqa: BLE001 - a broker that refuses (it may be full) gives the message out again
                task_id = message.headers.get("id")
                log.error("not_given_back", type(error).__name__, task_id=task_id)  # noqa: TRY400
        for appid in elsewhere:
            self._flows.mark(self.lane, appid)

    def pause(self, seconds: float, why: str) -> None:
        """Fetch nothing for ``seconds``, or for longer if the lane is still closed then."""
        if self._paused or self._closed:
            return
        self._paused = True
        self._consumer.cancel()
        self.tell_size()
        if seconds > LOOK:
            level = logging.INFO if why == "minute" else logging.WARNING
            log.log(level, "queue_paused", f"{why}, for {seconds:.1f} s", queue=self.name, appid=self._appid)
        # flows that were refused together must not come back together
        self._wait(seconds + random.uniform(0, LOOK_AHEAD / 2), why)  # noqa: S311

    def _wait(self, seconds: float, why: str) -> None:
        if why == "store" or self._appid is None:
            self._flows.later(min(seconds, LOOK), self._probe)
        elif seconds <= LOOK:
            self._flows.later(seconds, self._resume)
        else:
            self._flows.later(LOOK, self._look)

    def _look(self) -> None:
        """Ask if the lane is open, without a message in hand."""
        if self._paused and not self._closed and self._appid is not None:
            self._flows.look(self._appid, self.lane, self._seen)

    def _seen(self, snooze: Snooze | None) -> None:
        if snooze is None:
            self._resume()
        else:
            self._wait(snooze.seconds, snooze.why)

    def _probe(self) -> None:
        self.window.probe()
        self._resume(known=False)

    def _resume(self, *, known: bool = True) -> None:
        if not self._paused or self._closed:
            return
        self._paused = False
        if known:
            self.window.resume()
        self.tell_size()
        self._consumer.consume()

    def tell_size(self) -> None:
        """Tell the broker the number of messages that may be in hand, if the number has changed.

        RabbitMQ answers, and a worker that waited for the answer while it received a message was seen to hang. So
        RabbitMQ is told afterwards.
        """
        if isinstance(self._channel, RedisChannel):
            self._tell_size()
        elif not self._telling:
            self._telling = True
            self._flows.call(self._tell_later)

    def _tell_later(self) -> None:
        self._telling = False
        self._tell_size()

    def _tell_size(self) -> None:
        size = max(1, min(len(self._sent) + self.window.size, self._flows.share(self)))
        if self._one_comes:
            # kombu leaves that message unread while there is no room
            size = max(size, len(self._in_hand) + len(self._returning) + 1)
        if size != self._told_size and not self._closed:
            self._told_size = size
            # for the whole channel, if the broker can; else for consumers that begin later
            self._channel.basic_qos(0, size, not self._flows.consumer.connection.qos_semantics_matches_spec)
