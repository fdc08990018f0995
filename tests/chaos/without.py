"""Starts a process of wxcheck with one mechanism switched off: the suite has to notice.

    python -m tests.chaos.without commit celery -A worker worker …

In such a process, and in one where nothing is switched off, there are moments of standstill where a death matters and
is seldom met otherwise: when messages were taken, and before an end is stored.
"""

from __future__ import annotations

import runpy
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, NamedTuple

import redis
from celery.backends.redis import RedisBackend
from kombu.transport.redis import Channel as RedisChannel

from callbacks.publisher import Publisher
from store import keys
from store.outbox.outbox import Run, run_begins
from store.parked.parked import Parking
from store.records.records import Records
from tasks.base import EndingTask
from tasks.check import CheckTask
from wechat.push.outcomes import BrokerUnavailable
from worker import sweeper
from worker.celery_parts.backend import Backend, EndingClient
from worker.fetching.transport import Channel, QoS

#: seconds; the second one for what ends a part of a chord: few of them end the last one
STANDSTILL = 0.02
STANDSTILL_OF_CHORDS = 0.2

_POP = """
local taken = {}
for list = 3, #KEYS do
  while #taken < 2 * #ARGV do
    local message = redis.call('RPOP', KEYS[list])
    if not message then
      break
    end
    taken[#taken + 1], taken[#taken + 2] = list - 3, message
  end
end
return taken
"""


def _fetch() -> None:
    """Messages are taken in one step and recorded in another one, as by kombu."""
    script, read = Channel._script, Channel._read

    def popping(self: Channel, name: str) -> Any:
        found = script(self, name)
        if name == "worker/fetching/fetch" and found.script != _POP:
            found = self.__dict__["_scripts"][name] = self._create_client().register_script(_POP)
        return found

    def recorded(self: Channel, found: list[Any], lists: list[tuple[str, str]], tags: list[str]) -> Any:
        for number, content, tag in zip(found[::2], found[1::2], tags, strict=False):
            with self.conn_or_acquire() as client:
                client.hset(self.unacked_key, tag, lists[number][0].encode() + b"\n" + content)
                client.zadd(self.unacked_index_key, {tag: time.time()})
        return read(self, found, lists, tags)

    Channel._script, Channel._read = popping, recorded


def _redelivery() -> None:
    """The broker does not give out again the messages that a worker left behind."""
    QoS.restore_visible = lambda *_, **__: None


def _record() -> None:
    """A check that is delivered again is taken for a new one."""
    ask = CheckTask.ask

    def asked(self: CheckTask, run: Run, check: Any) -> Any:
        self.runtime.store.delete(keys.record(self.request.id))
        return ask(self, run, check)

    CheckTask.ask = asked
    Records.look = lambda *_, **__: "go"


def _ending() -> None:
    """The end of a check is not noted before its result is stored: a run that comes after one that died asks again."""
    conclude = Records.note_ending
    Records.note_ending = lambda self, task_id, run, _: conclude(self, task_id, run, "")


def _commit() -> None:
    """Celery publishes a check's follow-ups itself, before the check's end is stored."""
    Channel._put = RedisChannel._put


def _chord() -> None:
    """Celery removes its keys of a chord itself, before the body is published with the end."""
    Backend._chord_cleanup_script = RedisBackend._chord_cleanup_script
    EndingClient.delete = redis.Redis.delete


def _claimed_chord() -> None:
    """A check that finds its chord's body claimed by another run leaves it to that one, which may have died."""
    Run.chord_is_claimed = property(lambda _: False, lambda *_: None)


def _passing() -> None:
    """An error after a task's own part is a failure of its check, also where it is one that passes."""
    Backend.mark_as_failure = RedisBackend.mark_as_failure
    Backend.chord_error_from_stack = RedisBackend.chord_error_from_stack


def _lease() -> None:
    """The claim of a finish lasts for ever."""
    init = Parking.__init__

    def lasting(self: Parking, *arguments: Any, **named: Any) -> None:
        init(self, *arguments, **{**named, "lease": 1e6})

    Parking.__init__ = lasting


def _sweeper() -> None:
    """Nothing brings on what waited for long enough."""
    sweeper.bring_on = lambda *_: 0


def _store() -> None:
    """A step of the store is tried once, and an end that did not get there is acknowledged all the same."""

    def traced(self: EndingTask, trace: Any) -> Any:
        def run(*arguments: Any) -> Any:
            with run_begins():
                return trace(*arguments)

        return run

    EndingTask._traced = traced
    EndingTask.insist = lambda _self, step: step()


def _early() -> None:
    """A push that comes before its check is parked is not kept."""
    push = Parking.match_push

    def dropped(self: Parking, appid: str, told: dict[str, Any], *more: Any) -> Any:
        what, parked = push(self, appid, told, *more)
        if what == "early":
            member = f"{appid}:{told['trace_id']}"
            self._redis.delete(keys.check(member))
            self._redis.zrem(keys.DUE, member)
        return what, parked

    Parking.match_push = dropped


def _answer() -> None:
    """The endpoint answers 200 though the push did not get on the queue."""
    publish = Publisher.publish

    async def published(self: Publisher, appid: str, push: dict[str, Any]) -> None:
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
    "nothing": Mechanism(_nothing, ("workers", "redis", "connections", "platform")),
    "fetch": Mechanism(_fetch, ("workers",)),
    "redelivery": Mechanism(_redelivery, ("workers",)),
    "record": Mechanism(_record, ("workers",)),
    "ending": Mechanism(_ending, ("workers",)),
    "commit": Mechanism(_commit, ("workers",)),
    "chord": Mechanism(_chord, ("workers",), {"chords": 80}),
    "claimed-chord": Mechanism(_claimed_chord, ("workers",), {"chords": 80}),
    "passing": Mechanism(_passing, ("connections",), {"chords": 80}),
    "lease": Mechanism(_lease, ("workers",)),
    "sweeper": Mechanism(_sweeper, ("platform",)),
    "store": Mechanism(_store, ("redis",), {"redis_kills": 0, "fills": 5}),
    "early": Mechanism(_early, ("platform",)),
    "answer": Mechanism(_answer, ("redis",)),
}


def _stand_still() -> None:
    read, commit = Channel._read, EndingTask.after_return

    def later_read(self: Channel, found: list[Any], *arguments: Any) -> Iterable[Any]:
        if found:
            time.sleep(STANDSTILL)
        return read(self, found, *arguments)

    def later_commit(self: EndingTask, *arguments: Any) -> None:
        time.sleep(STANDSTILL_OF_CHORDS if self.request.chord else STANDSTILL)
        commit(self, *arguments)

    Channel._read = later_read
    EndingTask.after_return = later_commit


def main() -> None:
    """Switches off, and becomes the process."""
    _, name, module, *arguments = sys.argv
    MECHANISMS[name].switch_off()
    _stand_still()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
