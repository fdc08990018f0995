"""The outbox of a run: everything that the run leaves at its end, kept until the store commits both together.

Celery publishes the follow-ups of a task, stores its result and acknowledges its message. A process may die between any
two of these steps, and then the message is delivered again. If store, broker and results are one Redis, the outbox
keeps all of them, and the step that marks the check as ended (:mod:`store.records`) does all of them, or none. With
another broker, messages go out as they are published; a crash right after that repeats them.
"""

from __future__ import annotations

import os
import threading
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from store.keys import NEVER, UNACKED, UNACKED_INDEX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from redis import Redis, RedisError
    from redis.commands.core import Script

    Arguments = list[str | int | float]


#: precedes each script in the same step as an end: the script does nothing if the end was refused, or repeated
_IF_ENDED = """
local fresh, ended_by = unpack(redis.call('HMGET', KEYS[#KEYS], 'fresh', 'run'))
if not fresh or ended_by ~= ARGV[#ARGV] then
  return 0
end
"""


class Also(NamedTuple):
    """A script that runs in the same step; after its own keys and arguments it gets one further key and argument."""

    script: Script
    keys: list[str]
    args: Arguments


class Delivery(NamedTuple):
    """A message in hand, from a broker that is the store's Redis."""

    tag: str
    #: the process that took the message, and needs no second note of its acknowledgement
    process: int


def delivery_of(info: Any) -> Delivery | None:
    """Return the message of a task, from the ``delivery_info`` of its request (:mod:`worker.celery_parts.request`)."""
    return Delivery(info["tag"], info["process"]) if info and "tag" in info else None


def tag_of(delivery: Delivery | None) -> str:
    """Return the tag by which the store acknowledges a message; '' for a message of another broker."""
    return delivery.tag if delivery is not None else ""


class StoredResult(NamedTuple):
    """A result in the form of Celery's backend (``store_result.lua``)."""

    key: str | bytes
    #: JSON; '' for none
    value: str
    #: seconds to keep the result; 0: for ever
    seconds: int


#: under a key of ours, since an ACL may refuse any other
NO_RESULT = StoredResult(NEVER, "", 0)


#: tags of messages that the store has acknowledged, and that this process' consumer is about to acknowledge
_acknowledged: set[str] = set()


def was_acknowledged(tag: str) -> bool:
    """True if the store has acknowledged a message already. Ask once: the answer is forgotten."""
    if tag not in _acknowledged:
        return False
    _acknowledged.discard(tag)
    return True


def note_acknowledged(delivery: Delivery | None) -> None:
    """Note that the store has acknowledged a message."""
    if delivery is not None and delivery.process == os.getpid():
        _acknowledged.add(delivery.tag)


class InHand(Protocol):
    """A message in the hands of a worker."""

    def goes_out(self, ahead: float) -> None:
        """Record that the message's call is being sent. ``ahead``: seconds that its permit lay in the future."""
        ...


class Run:
    """A run of a task that may end a check."""

    def __init__(self, task_id: str | None = None) -> None:
        self.task_id = task_id
        #: the store recognises the run by this token
        self.token = uuid.uuid4().hex
        #: digest of the check's content (:mod:`store.records.digest`)
        self.digest = ""
        #: appId of the check, once known
        self.appid: str | None = None
        #: the check's record names this run
        self.is_recorded = False
        #: the whole end is one step, with the result and the acknowledgement
        self.is_one_step = False
        #: the result, which is stored with the end; only if ``is_one_step``
        self.result = NO_RESULT
        #: the run's message, which is acknowledged with the end
        self.delivery: Delivery | None = None
        #: the run's message in the hands of this worker; None if nothing fetches messages as permits come
        self.in_hand: InHand | None = None
        #: the task's own part is over, so messages published from now on follow from the end
        self.is_ending = False
        #: pairs of a broker's list and a message for it
        self.messages: list[str] = []
        #: further scripts of the same step
        self.also: list[Also] = []
        #: another run has begun to publish the body of this check's chord, and may have died before its end
        self.chord_is_claimed = False
        #: key and token of this run's own claim to publish the chord's body
        self.chord_claim: tuple[str, str] | None = None
        #: a step after the task's own part failed for a reason that passes: the end is tried again
        self.is_broken = False
        #: Celery has told the result, the chord and the errbacks that the check failed
        self.is_failed = False
        #: the message is on the shelf, so there is no end
        self.is_shelved = False
        #: Celery has told the task its ending
        self.is_told = False
        #: the end is in the store
        self.is_committed = False
        #: the error for which the store has refused the end; number of refusals of the check's end, this one included
        self.refusal: RedisError | None = None
        self.refusals = 0

    def fails_instead(self) -> None:
        """Take back the run's ending and everything that was to follow from it: the check fails instead."""
        self.is_failed = False
        self.messages.clear()
        self.also.clear()


_local = threading.local()


@contextmanager
def run_begins(task_id: str | None = None) -> Iterator[Run]:
    """Make a new run of a task the run of this thread."""
    run = _local.run = Run(task_id)
    try:
        yield run
    finally:
        _local.run = None


def current_run() -> Run | None:
    """Return the run of this thread, or None."""
    run: Run | None = getattr(_local, "run", None)
    return run


@contextmanager
def set_aside() -> Iterator[list[str]]:
    """Keep the messages that this thread publishes meanwhile, as pairs of a broker's list and a message for it.

    If the broker is not the store's Redis, nothing is kept, and all messages go out.
    """
    kept: list[str] = []
    _local.aside = kept
    try:
        yield kept
    finally:
        _local.aside = None


def kept_messages() -> list[str] | None:
    """Return the list that takes the messages of this thread; None if they go to the broker."""
    aside: list[str] | None = getattr(_local, "aside", None)
    run = ending_run()
    return aside if aside is not None else run.messages if run is not None else None


def ending_run() -> Run | None:
    """Return the run of this thread if its task's own part is over, else None."""
    run = current_run()
    return run if run is not None and run.is_ending else None


def commit(redis: Redis, run: Run, ending: Script, keys: Sequence[str | bytes], args: Arguments, record: str) -> str:
    """Run the script ``ending`` and the run's further scripts in one step, and return the answer of ``ending``.

    ``ending`` takes the run's result, acknowledgement and messages as its last keys and arguments (``store_end.lua``),
    and notes in ``record`` the run that ended the check.
    """
    every_key = [*keys, run.result.key, UNACKED, UNACKED_INDEX]
    every: Arguments = [*args, run.result.value, run.result.seconds, tag_of(run.delivery), *run.messages]
    if not run.also:
        said = ending(keys=every_key, args=every)
    else:
        with redis.pipeline(transaction=True) as pipe:
            ending(keys=every_key, args=every, client=pipe)
            for also in run.also:
                guarded = redis.register_script(_IF_ENDED + str(also.script.script))
                guarded(keys=[*also.keys, record], args=[*also.args, run.token], client=pipe)
            pipe.hdel(record, "fresh")
            said, *_ = pipe.execute()
    if said == "ended":
        note_acknowledged(run.delivery)
    return str(said)


def publish_and_acknowledge(redis: Redis, run: Run, script: Script) -> None:
    """Publish the messages of ``run``, acknowledge its own (``end_message.lua``) and run its further scripts.

    All of this is one step, which may be repeated.
    """
    with redis.pipeline(transaction=True) as pipe:
        script(keys=[UNACKED, UNACKED_INDEX], args=[tag_of(run.delivery), *run.messages], client=pipe)
        for also in run.also:
            also.script(keys=[*also.keys, UNACKED], args=[*also.args, run.token], client=pipe)
        pipe.execute()
    note_acknowledged(run.delivery)
