"""A check in the hands of this worker, until it is moved."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError, ResponseError

from config.logs import Log
from store.connection import STORE_AWAY, reason
from store.places.forms import Ended, Settled
from worker.messages import message_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu import Message

    from store.places.forms import Held
    from store.places.places import Places

log = Log(__name__)

#: times that a check comes back whose end no script takes, before it is forgotten
MOST_RETURNS = 3
#: a time that is over
EXPIRED = "2000-01-01T00:00:00+00:00"


class InHand:
    """One check, and the moves that its run makes with it. Safe to share between threads.

    ``let_go`` is called once, when it has left the hand.
    """

    def __init__(self, held: Held, places: Places, let_go: Callable[[Held], None]) -> None:
        self.held = held
        self._places = places
        self._let_go = let_go
        self._lock = threading.Lock()
        #: a run has begun
        self.is_run = False
        #: its run has moved it, or lost it
        self.is_moved = False
        self._is_gone = False

    @cached_property
    def _kept(self) -> dict[str, Any]:
        kept: dict[str, Any] = json.loads(self.held.text)
        return kept

    @property
    def task_id(self) -> str:
        """Return the task id of its message, which differs from its id in the store if that id was taken."""
        return str(self._kept["headers"]["id"])

    def finish(self, ended: Ended, settled: Settled | None = None) -> str:
        """End it, as :meth:`store.places.places.Places.finish` says."""
        return self._moved(self._places.finish(self.held, ended, settled))

    def park(self, *args: Any, **kwargs: Any) -> str:
        """Park it, as :meth:`store.places.places.Places.park` says."""
        said = self._places.park(self.held, *args, **kwargs)
        return said if said == "traced" else self._moved(said)

    def give_back(self, *args: Any, **kwargs: Any) -> str:
        """Give it back, as :meth:`store.places.places.Places.give_back` says."""
        return self._moved(self._places.give_back(self.held, *args, **kwargs))

    def forget(self) -> None:
        """Forget it, as :meth:`store.places.places.Places.forget` says."""
        self._places.forget(self.held)
        self.is_moved = True

    def message(self) -> Message:
        """Return its message, as Celery expects one of a broker's; acknowledged, or rejected, it is gone.

        Celery acknowledges a message without a run if it was revoked, or has expired: its check then ends here, after
        Celery has told so. A message that is rejected, or was run and is unmoved, goes back to its place.
        """
        kept = self._kept
        if (self.held.cause or {}).get("ended") == "expired":
            # by Redis' clock, which counts; Celery goes by this machine's
            kept["headers"]["expires"] = EXPIRED
        delivery = {"exchange": kept["queue"], "routing_key": kept["queue"]}
        message = message_of(kept, delivery_tag=self.held.run, delivery_info=delivery, channel=_Channel(self))
        message.in_hand = self
        return message

    def leave(self, *, back: bool, at: float | None = None) -> None:
        """Let it leave the hand, moved or not; ``back``: it is not done with. ``at``: it waits until then.

        Without a run its call was not sent, and its permit is free again.
        """
        try:
            if not self.is_moved:
                if back or self.is_run:
                    permit = None if self.is_run else self.held.permit
                    self.give_back(Settled(permit, was_sent=False) if permit else None, at=at)
                else:
                    self.finish(Ended("cancelled"))
        except STORE_AWAY as error:
            log.info("not_released", f"{reason(error)}; its lease ends", task_id=self.held.id, appid=self.held.appid)
        except ResponseError as error:
            # Celery has told the end of a message that it drops
            is_last = not back and not self.is_run and self.held.check.get("returns", 0) >= MOST_RETURNS
            said = f"{type(error).__name__}: {error}; {'it is forgotten' if is_last else 'its lease ends'}"
            log.error("not_released", said, task_id=self.held.id, appid=self.held.appid)  # noqa: TRY400 - a script's error
            if is_last:
                with suppress(RedisError):
                    self.forget()
        finally:
            with self._lock:
                is_gone, self._is_gone = self._is_gone, True
            if not is_gone:
                self._let_go(self.held)

    def _moved(self, said: str) -> str:
        self.is_moved = True
        return said


class _Channel:
    """Where Celery's message looks for its channel."""

    no_ack_consumers = None

    def __init__(self, in_hand: InHand) -> None:
        self._in_hand = in_hand

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:  # noqa: ARG002 - kombu passes them
        self._in_hand.leave(back=False)

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: ARG002 - kombu passes it
        self._in_hand.leave(back=requeue)
