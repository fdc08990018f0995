"""Starts a process of wxcheck with one mechanism switched off: the suite has to notice.

    python -m tests.chaos.without marks celery -A worker worker …

In such a process, and in one where nothing is switched off, there are moments of standstill where a death matters and
is seldom met otherwise: when messages were taken, before an end is stored, before what follows goes out, and while a
chord is claimed.
"""

from __future__ import annotations

import runpy
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

import redis
from celery.app.task import Context
from celery.backends.redis import RedisBackend

from callbacks.publisher import Publisher
from store import scripts
from store.places import places
from store.places.places import Places
from tasks.base import WxcheckTask
from tasks.check import CheckTask
from wechat.push.messages import Message
from wechat.push.outcomes import BrokerUnavailable
from worker import sweeper
from worker.ending.backend import Backend, Client, Relaying
from worker.ending.left import Left
from worker.ending.relay import Relay, send
from worker.intake.inbox import Inbox
from worker.intake.redis_inbox import RedisInbox
from worker.run import Run

#: seconds; the second one for what ends a part of a chord: few of them end the last one
STANDSTILL = 0.02
STANDSTILL_OF_CHORDS = 0.2


def _in_script(name: str, before: str, after: str) -> None:
    """Have ``after`` stand for ``before`` in a script."""
    source = scripts.source

    def changed(which: str) -> str:
        text = source(which)
        if which != name:
            return text
        assert before in text, f"{before} is not in {name}"
        return text.replace(before, after)

    scripts.source = changed


def _record() -> None:
    """A message leaves its list before it is filed, and nothing records that it was taken."""
    _in_script("worker/intake/fetch", "redis.call('HSET', KEYS[1],", "redis.call('HDEL', KEYS[1],")


def _redelivery() -> None:
    """Messages that a worker took, and did not file, are not given out again."""
    RedisInbox._give_out_again = lambda _: None


def _leases() -> None:
    """A check in the hand of a worker that has died stays there."""
    places._BY_TIME = tuple(name for name in places._BY_TIME if name != "hand")


def _marks() -> None:
    """A check that has ended leaves no mark, by which a repeated message is known."""
    _in_script("store/places/file", "before.place ~= 'ended'", "before.place ~= 'ended' or true")
    _in_script("store/places/file", "return same and 'repeated' or 'taken'", "return 'filed', of")


def _one_step() -> None:
    """What follows is published after the step of the end, and not kept until then."""
    finish = WxcheckTask._finish

    def finished(self: WxcheckTask, run: Run, end: Any) -> tuple[str, Left]:
        left, run.left = run.left, Left()
        said, _ = finish(self, run, end)
        run.left = left
        if said == "ended":
            time.sleep(STANDSTILL)
            send(self.app, replace(left, chord_parts=[]))
            for part in left.chord_parts:
                self.backend.on_chord_part_return(Context(part.request), part.state, part.result)
        return said, Left()

    WxcheckTask._finish = finished


def _relay() -> None:
    """What a run that died has left in the outbox is not brought out."""
    vars(sweeper).update(bring_out_left=lambda *_, **__: 0)


def _chord() -> None:
    """Celery removes its keys of a chord itself, before the body is kept or published."""
    Backend._chord_cleanup_script = RedisBackend._chord_cleanup_script
    Client.delete = redis.Redis.delete


def _claimed_chord() -> None:
    """A relay that finds its chord's body claimed by another one leaves it to that one, which may have died."""
    Backend._chord_part_return_script = RedisBackend._chord_part_return_script


def _passing() -> None:
    """An error of the store within a run is a failure of its check."""

    def act(self: CheckTask, run: Run, args: Any, kwargs: Any) -> Any:
        cause = run.held.cause
        return self.run(run, *args, **kwargs) if cause is None else self._tell(run, cause, args, kwargs)

    CheckTask.act = act
    CheckTask.insist = lambda _self, _run, step: step()


def _sweeper() -> None:
    """Nothing brings on what waited for long enough."""
    Places.bring_on = lambda _: {}


def _early() -> None:
    """A push that comes before its check is parked is not kept."""
    _in_script("store/places/push", "redis.call('HEXISTS', shard.early, trace) == 1", "true")


def _answer() -> None:
    """The endpoint answers 200 though the push did not get on the queue."""
    publish = Publisher.publish

    async def published(self: Publisher, appid: str, push: Message) -> None:
        with suppress(BrokerUnavailable):
            await publish(self, appid, push)

    Publisher.publish = published


def _nothing() -> None:
    """All mechanisms are at work, and there are the moments of standstill."""


class Mechanism(NamedTuple):
    """One that can be switched off."""

    switch_off: Callable[[], None]
    #: scenarios that fail then
    fail: tuple[str, ...]
    #: what is done more often than otherwise
    scale: Mapping[str, int] = MappingProxyType({})


MECHANISMS = {
    # the only one that holds
    "nothing": Mechanism(
        _nothing, ("workers", "redis", "connections", "platform"), {"chords": 40, "closings": 10, "fills": 5}
    ),
    "record": Mechanism(_record, ("workers",)),
    "redelivery": Mechanism(_redelivery, ("workers",)),
    "leases": Mechanism(_leases, ("workers",)),
    "marks": Mechanism(_marks, ("connections",)),
    "one-step": Mechanism(_one_step, ("workers",)),
    "relay": Mechanism(_relay, ("workers",), {"chords": 80}),
    "chord": Mechanism(_chord, ("workers",), {"chords": 80}),
    "claimed-chord": Mechanism(_claimed_chord, ("workers",), {"chords": 80}),
    "passing": Mechanism(_passing, ("redis",), {"redis_kills": 0, "fills": 5, "closings": 20}),
    "sweeper": Mechanism(_sweeper, ("platform",)),
    "early": Mechanism(_early, ("platform",)),
    "answer": Mechanism(_answer, ("redis",)),
}


def _stand_still() -> None:
    take_in, end, count, persist = Inbox._take_in, WxcheckTask.end, Relay._count, Relaying.persist

    def later_take_in(self: Inbox, received: Sequence[Any]) -> Any:
        if received:
            time.sleep(STANDSTILL)
        return take_in(self, received)

    def later_end(self: WxcheckTask, run: Run, ended: Any) -> bool:
        time.sleep(STANDSTILL)
        return end(self, run, ended)

    def later_count(self: Relay) -> None:
        time.sleep(STANDSTILL_OF_CHORDS)
        count(self)

    def later_persist(self: Relaying) -> bool:
        if not self.is_kept:
            time.sleep(STANDSTILL_OF_CHORDS)
        return persist(self)

    Inbox._take_in = later_take_in
    WxcheckTask.end = later_end
    Relay._count = later_count
    Relaying.persist = later_persist


def main() -> None:
    """Switches off, and becomes the process."""
    _, name, module, *arguments = sys.argv
    MECHANISMS[name].switch_off()
    _stand_still()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
