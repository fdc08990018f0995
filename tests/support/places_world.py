"""A store with the places of the checks, whose clock is the test's, and a worker that looks at it once a second."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
import redis

from config.lanes import Lane
from store.places.forms import Held, LaneLimits, Message, Settled, Take
from store.places.places import Places
from store.places.shard import Shard
from store.quota.clock import Watch
from store.scripts import source
from tests.support.quota_world import MIDNIGHT, SECOND, World

SHARD = Shard("wxcheck", 0)
#: the broker's messages that are taken and not filed yet, and their index
INBOX = ("wxcheck:unacked", "wxcheck:unacked_index")
NOON = MIDNIGHT + 12 * 3600 * SECOND

#: the scripts before which something may happen
SOURCES = {name: source(f"store/places/{name}") for name in ("bring", "take", "file")}


class PlacesWorld:
    """One shard."""

    def __init__(self, client: redis.Redis, token_lease: float | None = None) -> None:
        self.redis = client
        self.world = World(client, NOON)
        virtual = SimpleNamespace(monotonic=lambda: self.world.now / SECOND, time=lambda: self.now)
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr("store.places.places.time", virtual)
        self._patch.setattr("store.places.open_lanes.time", virtual)
        self._patch.setattr("store.quota.clock.ours", virtual.monotonic)
        #: what happens before the next call of a script, by its name
        self.before: dict[str, Callable[[], None]] = {}
        #: number of calls of scripts
        self.calls = 0
        self.places = Places(self, SHARD, Watch(), 10.0, token_lease, INBOX)  # type: ignore[arg-type]
        self.world.processes.append(SimpleNamespace(alive=True, quota=self.places))  # type: ignore[arg-type]
        client.hset(
            SHARD.key("known"), mapping={"run": f"{self.world.run:040x}", "since": self.world.wall - 3600 * SECOND}
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self.redis, name)

    def time(self) -> tuple[int, int]:
        return divmod(self.world.wall, SECOND)

    def register_script(self, text: str) -> Any:
        call = self.world.redis.register_script(text)

        def run(keys: list[str], args: list[Any]) -> Any:
            for name in [name for name in self.before if text.endswith(SOURCES[name])]:
                self.before.pop(name)()
            self.calls += 1
            self.world.tell_redis()
            return call(keys=keys, args=args)

        return run

    def close(self) -> None:
        # in this order: the world has patched the clock before
        self._patch.undo()
        self.world.close()

    @property
    def now(self) -> float:
        return self.world.wall / SECOND

    def later(self, seconds: float) -> None:
        self.world.pass_time(seconds * SECOND)

    def file(self, *messages: Message) -> list[str]:
        return self.places.file(messages)

    def take(self, room: int = 8, *appids: str, **limits: Any) -> Take:
        """What a worker takes that knows the lanes of ``appids``; by default that of wx1."""
        options = {"per_minute": 60_000, "per_day": 1_000, **limits}
        lanes = [LaneLimits(kind, appid, **options) for kind in KINDS for appid in appids or ("wx1",)]
        return self.places.take({"text": room, "media": room, "push": room}, lanes)

    def held(self, *messages: Message) -> list[Held]:
        """Messages that were filed and taken."""
        assert self.file(*messages) == ["filed"] * len(messages)
        return self.take(8, *{message.appid for message in messages}).held

    def place(self, task_id: str) -> str:
        return str((self.places.show(task_id) or {}).get("place", ""))

    def waiting(self, kind: Lane = "text", appid: str = "wx1") -> list[str]:
        return cast("list[str]", self.redis.zrange(SHARD.of_lane(kind, appid)[0], 0, -1))

    def wakes(self, queue: str) -> int:
        return int(self.redis.llen(SHARD.key(f"wake:{queue}")))


KINDS: tuple[Lane, ...] = ("text", "media")


def text(task_id: str, appid: str = "wx1", priority: int = 3, **fields: Any) -> Message:
    return Message(task_id, f"message of {task_id}", "text", appid, priority, f"{task_id:>8}"[-8:], **fields)


def picture(task_id: str, appid: str = "wx1", **fields: Any) -> Message:
    return text(task_id, appid, **fields)._replace(kind="media")


def settled(held: Held, *, was_sent: bool = True) -> Settled:
    assert held.permit is not None
    return Settled(held.permit, was_sent)
