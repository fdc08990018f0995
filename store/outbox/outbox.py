"""What a run leaves at its end, kept until the store commits it together with the end itself.

Celery publishes what follows a task, stores its result and acknowledges its message; a process may die between any two
of these, and its message is delivered again. Where store, broker and results are one Redis, all of it is kept here, and
happens in the same step that marks the check as ended (:mod:`store.records`): all, or nothing. With another broker
messages go out as they are published; there a crash right after it repeats them.
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


#: before each script that runs beside the one that ends a check: it does nothing where that was refused, or said again
_IF_ENDED = """
local fresh, ended_by = unpack(redis.call('HMGET', KEYS[#KEYS], 'fresh', 'run'))
if not fresh or ended_by ~= ARGV[#ARGV] then
  return 0
end
"""


class Also(NamedTuple):
    """A script that is to run in the same step; it finds one key and one argument more at the end of its own."""

    script: Script
    keys: list[str]
    args: Arguments


class Delivery(NamedTuple):
    """A message in hand, of a broker that is the store's Redis."""

    tag: str
    #: the process that took it: it need not be told a second time
    process: int


def delivery_of(info: Any) -> Delivery | None:
    """The message of a task, by the ``delivery_info`` of its request (:mod:`worker.celery_parts.request`)."""
    return Delivery(info["tag"], info["process"]) if info and "tag" in info else None


def tag_of(delivery: Delivery | None) -> str:
    """The tag to acknowledge a message by in the store; '' where it is none of the store's."""
    return delivery.tag if delivery is not None else ""


class StoredResult(NamedTuple):
    """A result as Celery's backend stores it (``store_result.lua``)."""

    key: str | bytes
    #: JSON; '' where there is none
    value: str
    #: to keep it; 0: for ever
    seconds: int


#: under a key of ours, for an ACL may refuse another one
NO_RESULT = StoredResult(NEVER, "", 0)


#: tags of messages that are acknowledged in the store, which this process' consumer is about to acknowledge
_acknowledged: set[str] = set()


def was_acknowledged(tag: str) -> bool:
    """Whether a message is acknowledged in the store already; to be asked once."""
    if tag not in _acknowledged:
        return False
    _acknowledged.discard(tag)
    return True


def note_acknowledged(delivery: Delivery | None) -> None:
    """Says that the store has acknowledged a message."""
    if delivery is not None and delivery.process == os.getpid():
        _acknowledged.add(delivery.tag)


class InHand(Protocol):
    """A message in the hands of a worker."""

    def goes_out(self, ahead: float) -> None:
        """Says that its call goes out now, with a permit that lay so many seconds in the future."""
        ...


class Run:
    """One run of a task that may end a check."""

    def __init__(self, task_id: str | None = None) -> None:
        self.task_id = task_id
        #: by it the store knows the run again
        self.token = uuid.uuid4().hex
        #: what the check is known again by, beside its task id (:mod:`store.records.digest`)
        self.digest = ""
        #: whose check it is, once that is known
        self.appid: str | None = None
        #: whether the check's record is this run's
        self.is_recorded = False
        #: whether all of its end is one step, the result and the message included
        self.is_one_step = False
        #: of a run that is: its result, which is stored with its end
        self.result = NO_RESULT
        #: its message, to be acknowledged with its end
        self.delivery: Delivery | None = None
        #: its message in the hands of this worker; None where nothing fetches messages as permits come
        self.in_hand: InHand | None = None
        #: whether the task's own part is over, so that what is published now follows from its end
        self.is_ending = False
        #: pairs of a list of the broker and a message for it
        self.messages: list[str] = []
        #: what else happens in the same step
        self.also: list[Also] = []
        #: whether another run has begun to publish the body of this check's chord, and may not have got to its end
        self.chord_is_claimed = False
        #: key and token of this run's own claim to publish that body
        self.chord_claim: tuple[str, str] | None = None
        #: whether a step after the task's own part failed for a reason that passes: the end is tried again
        self.is_broken = False
        #: whether Celery has told that the check failed: its result, chord and errbacks
        self.is_failed = False
        #: whether its message is on the shelf, so that there is no end
        self.is_shelved = False
        #: whether Celery has told the task how it ended
        self.is_told = False
        #: whether its end is in the store
        self.is_committed = False
        #: the error for which the store has refused its end; how often it has refused the check's, this time included
        self.refusal: RedisError | None = None
        self.refusals = 0

    def fails_instead(self) -> None:
        """Takes back how it ended, and what was to follow from that: it fails."""
        self.is_failed = False
        self.messages.clear()
        self.also.clear()


_local = threading.local()


@contextmanager
def run_begins(task_id: str | None = None) -> Iterator[Run]:
    """Makes a run of a task the one of this thread."""
    run = _local.run = Run(task_id)
    try:
        yield run
    finally:
        _local.run = None


def current_run() -> Run | None:
    """The run of this thread."""
    run: Run | None = getattr(_local, "run", None)
    return run


@contextmanager
def set_aside() -> Iterator[list[str]]:
    """Keeps what this thread publishes meanwhile, as pairs of a list of the broker and a message for it. Nothing is
    kept, and all goes out, where the broker is not the store's Redis."""
    kept: list[str] = []
    _local.aside = kept
    try:
        yield kept
    finally:
        _local.aside = None


def kept_messages() -> list[str] | None:
    """Where messages go that this thread publishes; None: to the broker."""
    aside: list[str] | None = getattr(_local, "aside", None)
    run = ending_run()
    return aside if aside is not None else run.messages if run is not None else None


def ending_run() -> Run | None:
    """The run of this thread, if its task's own part is over."""
    run = current_run()
    return run if run is not None and run.is_ending else None


def commit(redis: Redis, run: Run, ending: Script, keys: Sequence[str | bytes], args: Arguments, record: str) -> str:
    """Runs the script ``ending``, which takes what ``run`` leaves as its last keys and arguments (``settle.lua``) and
    says in ``record`` who has ended the check, with what else happens in the same step; what the script says."""
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


def settle(redis: Redis, run: Run, script: Script) -> None:
    """Publishes what ``run`` leaves and acknowledges its message (``refuse.lua``), with what else happens in the same
    step; what may be said again."""
    with redis.pipeline(transaction=True) as pipe:
        script(keys=[UNACKED, UNACKED_INDEX], args=[tag_of(run.delivery), *run.messages], client=pipe)
        for also in run.also:
            also.script(keys=[*also.keys, UNACKED], args=[*also.args, run.token], client=pipe)
        pipe.execute()
    note_acknowledged(run.delivery)
