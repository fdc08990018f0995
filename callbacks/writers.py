"""The writers of pushes: many pushes at once to a Redis, one by one to other brokers. Blocking, for threads."""

from __future__ import annotations

import time
from asyncio import Future
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import redis
from celery import signals
from kombu.utils.json import loads

from callbacks.broker import BrokerLink, broker_url
from callbacks.template import OPTIONS, Template
from config.names import RECEIVE_PUSH
from config.redis_url import is_kombus_redis

if TYPE_CHECKING:
    from celery import Celery

#: connections for writing pushes one by one: a broker that confirms each push takes some milliseconds for it
CONNECTIONS = 4
#: seconds after which a failed publish is not tried again: the answer is due
RETRY_WITHIN = 0.5

#: fate of a push: None if the broker has taken the push, else the reason for the doubt
Fate = Exception | None


class Push(NamedTuple):
    """A push to be put on the queue."""

    #: the task's arguments, an object of JSON
    kwargs: str
    #: done once nobody waits any more; only its loop may change it
    answer: Future[None]


class Writer(Protocol):
    """Puts pushes on the queue, on a connection of its own."""

    #: most pushes in a call of ``write``
    at_once: int

    def warm_up(self) -> None:
        """Do the work for which the first push would take 0.4 s.

        Raises:
            Exception: any error of the transport.
        """

    def write(self, pushes: Sequence[Push]) -> list[Fate]:
        """Write ``pushes``, and return the fate of each in their order. Raises nothing."""

    def close(self) -> None:
        """Close the connection."""


def writers_for(app: Celery) -> list[Writer]:
    """Return the writers that suit the broker of ``app``, each for a thread of its own."""
    if is_kombus_redis(broker_url(app)) and not is_watched(app):
        return [BatchWriter(app)]
    return [SingleWriter(app) for _ in range(CONNECTIONS)]


def is_watched(app: Celery) -> bool:
    """True if somebody hooks into Celery's publishing, as OpenTelemetry and Sentry do.

    Then each push must be a publish of Celery's own, with its signals, and with the hooks' additions to its headers.
    """
    hooks = (signals.before_task_publish, signals.after_task_publish)
    return any(hook.has_listeners(RECEIVE_PUSH) for hook in hooks) or hasattr(type(app).send_task, "__wrapped__")


class BatchWriter:
    """Writes to a Redis: one LPUSH for all pushes, which Redis takes or refuses as a whole.

    After a refusal or a lost connection each push is tried once alone: a fault of one push concerns no other, and the
    broker may have been restarted since.
    """

    at_once = 128

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._link = BrokerLink(app)
        self._template: Template | None = None
        #: from the channel's pool; making a client costs as much as a command
        self._client: redis.Redis | None = None

    def warm_up(self) -> None:
        try:
            self._filled()
        except Exception:
            self._link.failed()
            raise

    def close(self) -> None:
        self._link.close()

    def write(self, pushes: Sequence[Push]) -> list[Fate]:
        began, was_open = time.monotonic(), self._link.is_open
        error = self._push(pushes)
        if error is None:
            return [None] * len(pushes)
        if not was_open and not isinstance(error, redis.exceptions.ResponseError):
            return [error] * len(pushes)
        fates: list[Fate] = []
        for push in pushes:
            if time.monotonic() - began < RETRY_WITHIN:
                error = self._push([push])
                fates.append(error)
            else:
                fates.append(error or TimeoutError("the broker was too slow"))
        return fates

    def _push(self, pushes: Sequence[Push]) -> Fate:
        try:
            template = self._filled()
            messages = [template.fill(push.kwargs) for push in pushes]
            if self._client is None:
                with self._link.producer().channel.conn_or_acquire() as client:
                    self._client = client
            self._client.lpush(template.key, *messages)
        except Exception as error:  # noqa: BLE001 - each transport has its own; all mean "not known to be queued"
            self._link.failed()
            self._client = None
            return error
        return None

    def _filled(self) -> Template:
        producer = self._link.producer()
        if self._template is None:
            self._template = Template(self._app, producer)
        return self._template


class SingleWriter:
    """Writes to every other broker, and under hooks: by Celery's own publish, one push after another."""

    at_once = 1

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._link = BrokerLink(app)

    def warm_up(self) -> None:
        try:
            self._link.producer()
            self._app.amqp.send_task_message  # noqa: B018 - built when it is first asked for, as the backend is
            self._app.backend  # noqa: B018
        except Exception:
            self._link.failed()
            raise

    def close(self) -> None:
        self._link.close()

    def write(self, pushes: Sequence[Push]) -> list[Fate]:
        return [self._publish(push) for push in pushes]

    def _publish(self, push: Push) -> Fate:
        began = time.monotonic()
        again = self._link.is_open  # the broker may have been restarted since; a second try tells
        while True:
            try:
                # By the queue's name Celery publishes to the anonymous exchange: a broker that was emptied needs no
                # binding
                producer = self._link.producer()
                self._app.send_task(RECEIVE_PUSH, kwargs=loads(push.kwargs), producer=producer, **OPTIONS)
            except Exception as error:  # noqa: BLE001 - each transport has its own; all mean "not known to be queued"
                self._link.failed()
                if not again or time.monotonic() - began > RETRY_WITHIN:
                    return error
                again = False
            else:
                return None
