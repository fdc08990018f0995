"""A store with the places of the checks, whose clock is the test's, and a worker that looks at it once a second."""

from __future__ import annotations

from typing import Any, cast

import redis

from config.lanes import Lane
from store.places.forms import Held, LaneLimits, Message, Settled, Take
from store.quota.permits import MARGIN, START
from tests.support.quota_world import MIDNIGHT, SECOND, SHARD, World, known_key

API_TIMEOUT = 10.0
#: seconds for which a run has a check
LEASE = API_TIMEOUT + START + MARGIN
NOON = MIDNIGHT + 12 * 3600 * SECOND


class PlacesWorld:
    """One shard, and one process."""

    def __init__(self, client: redis.Redis, token_lease: float | None = None) -> None:
        self.redis = client
        self.world = World(client, NOON)
        process = self.world.process(call_timeout=API_TIMEOUT, token_lease=token_lease)
        self.world.acting = process
        self._client = process.redis
        self.places = process.places
        #: what happens before the next call of a script, by its name
        self.before = self._client.before
        client.hset(known_key(), mapping={"run": f"{self.world.run:040x}", "since": self.world.wall - 3600 * SECOND})

    @property
    def calls(self) -> int:
        """The number of calls of scripts."""
        return self._client.calls

    @calls.setter
    def calls(self, calls: int) -> None:
        self._client.calls = calls

    def close(self) -> None:
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
