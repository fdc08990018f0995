"""The intake of one worker: files what an inbox hands it, and matches pushes, in batches and without a task."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from redis.exceptions import ResponseError

from config.lanes import QUEUE_OF
from config.logs import Log
from config.names import PUSH_QUEUE
from store.connection import STORE_AWAY
from store.places.forms import Message
from worker.intake.filing import Push, entry_of
from worker.intake.reading import Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kombu import Message as BrokerMessage

    from config.settings import Settings
    from store.places.places import Places
    from store.watch.statistics import Statistics

log = Log(__name__)

W = TypeVar("W", Push, Message)


class Received(NamedTuple):
    """A message that was taken off a queue, and is not filed yet."""

    message: BrokerMessage
    queue: str
    #: by which the broker knows it
    tag: str


class Batch(NamedTuple):
    """Messages that were read: what is to be filed, each with its tag, and the tags of the others."""

    pushes: list[tuple[Push, str]]
    checks: list[tuple[Message, str]]
    #: nobody waits for them
    dropped: list[str]
    #: they cannot be read, or filed, here and now, and stay in the inbox
    kept: list[str]


class Intake:
    """Files messages. For one thread at a time."""

    def __init__(self, places: Places, settings: Settings, statistics: Statistics) -> None:
        self._places = places
        self._settings = settings
        self._statistics = statistics
        #: the broker is the store's Redis, so a message leaves its inbox in the step that files it
        self.in_one_step = settings.broker == settings.redis_url

    def read(self, received: Sequence[Received]) -> Batch:
        """Read messages."""
        batch = Batch([], [], [], [])
        for message, queue, tag in received:
            try:
                what = entry_of(message, queue, self._settings, time.time())
            except Unreadable as unreadable:
                self.drop(queue, unreadable)
                batch.dropped.append(tag)
            except Exception as error:  # noqa: BLE001 - a message that nobody has thought of holds up no other
                # the text of the error could quote the message
                log.error("not_filed", f"{type(error).__name__}; it stays in its inbox, and is tried again")  # noqa: TRY400
                batch.kept.append(tag)
            else:
                if isinstance(what, Push):
                    batch.pushes.append((what, tag))
                else:
                    batch.checks.append((what, tag))
        return batch

    def drop(self, queue: str, unreadable: Unreadable) -> None:
        """Count and tell that a message is dropped, for which nobody waits."""
        log.error("message_dropped", unreadable.said, queue=queue)
        self._statistics.unreadable(queue, unreadable.why)

    def file(self, batch: Batch) -> list[str]:
        """File at most :data:`store.places.places.BATCH` messages. It may be repeated.

        Returns:
            the tags of messages that stay in the inbox.

        Raises:
            one of STORE_AWAY: the store does not answer; the messages may be filed or not.
        """
        # first the pushes: their checks have waited for longer
        return [*batch.kept, *self._file(batch.pushes, self._push), *self._file(batch.checks, self._check)]

    def _file(self, entries: list[tuple[W, str]], step: Callable[[list[W], list[str]], list[str]]) -> list[str]:
        """File entries of one kind. Return the tags of those that the store does not take."""
        if not entries:
            return []
        try:
            return step([what for what, _ in entries], [tag for _, tag in entries])
        except STORE_AWAY:
            raise
        except ResponseError as error:
            if len(entries) > 1:
                # one of them may be at fault, and holds up no other
                return [tag for entry in entries for tag in self._file([entry], step)]
            ((what, tag),) = entries
            said = f"{type(error).__name__}: {error}; it stays in its inbox, and is tried again"
            log.error("not_filed", said, **_identity(what))  # noqa: TRY400 - the text is the script's, and the trace says no more
            return [tag]

    def _check(self, messages: list[Message], tags: list[str]) -> list[str]:
        kept = []
        filed = self._places.file(messages, tags if self.in_one_step else [])
        for what, tag, said in zip(messages, tags, filed, strict=True):
            if said != "newer":
                self._statistics.count("moved", QUEUE_OF[what.kind])
            match said:
                case "repeated":
                    log.info("check_repeated", "it is here already, or has ended", **_identity(what))
                case "taken":
                    log.warning("task_id_taken", "by a check with other content; this one fails", **_identity(what))
                case "newer":
                    log.warning(
                        "newer_format", "a later version has its check; left to that version", **_identity(what)
                    )
                    kept.append(tag)
        return kept

    def _push(self, pushes: list[Push], tags: list[str]) -> list[str]:
        asked = [(push.appid, push.trace_id, push.text) for push in pushes]
        now = time.time()
        for push, pushed in zip(pushes, self._places.push(asked, tags if self.in_one_step else []), strict=True):
            what = "early" if pushed.what == "newer" else pushed.what
            self._statistics.count("push", what)
            self._statistics.count("moved", PUSH_QUEUE)
            if pushed.seconds is not None:
                self._statistics.delay(pushed.seconds)
            said = f"{now - push.received_at:.3f} s in the queue"
            log.info(f"push_{what}", said, task_id=pushed.id, trace_id=push.trace_id, appid=push.appid)
        return []


def _identity(what: Message | Push) -> dict[str, str]:
    if isinstance(what, Push):
        return {"trace_id": what.trace_id, "appid": what.appid}
    return {"task_id": what.id, "appid": what.appid}
