"""``python -m bench.quota.acquire``: what one permit costs Redis, and what a lane keeps there.

A Redis of its own; a pool that is full, as it is under a backlog: a permit comes whenever one of a minute ago ends, and
a take hands out those of a tenth of a second, with their checks. Or a thousand lanes by turns, each of which has a
quarter of a minute to tidy up when its turn comes. In the real thing the window is a minute of Redis' own clock; here
the clock is a key that the bench moves, so that it need not take minutes.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from redis import Redis

from bench.redis_load import connect, version
from ops.local.ports import free_port
from ops.local.processes import Processes
from ops.local.redis_server import embedded_redis
from store.places.forms import LaneLimits, Message
from store.places.places import Places
from store.places.shard import SHARD
from store.places.vouching import vouch
from store.quota.clock import Watch
from store.quota.permits import WINDOW

N, PER_DAY = 4_000, 2_000_000
CALL_TIMEOUT = 10.0
#: seconds that a call takes, the permits that are measured, and the most of one take
ANSWER = 0.2
MEASURED = 4_000
ROOM = 16
#: appIds, and how often it is each one's turn, before the steady state and in it
APPIDS = 1_000
TURNS = 5
#: seconds since the epoch at which the virtual time begins
START_TIME = 1_800_000_000
_CLOCK = "bench:clock"
_MICRO = 1_000_000


class Cost(NamedTuple):
    """Of a permit in steady state, by Redis' own count."""

    microseconds: float
    most_bytes: int


def main() -> None:
    print(f"window of {WINDOW:.0f} s, {N} calls in it, answers after {ANSWER} s, permits settled one call later")
    with Processes(os.environ) as processes:
        server = embedded_redis(free_port(), processes.directory)
        processes.start("redis", server.command, environment={}, cwd=processes.directory)
        processes.wait_until("redis", server.answers, 20)
        with connect(server.url) as client:
            print(version(client))
            print(f"{'appIds':<32} {'µs a permit':>12} {'bytes a lane, at most':>22}")
            for title, measure in (
                ("one, used to the full", full),
                ("the same beside 999", full_beside_others),
                ("1,000 by turns", by_turns),
            ):
                cost = measure(client)
                print(f"{title:<32} {cost.microseconds:>12.1f} {cost.most_bytes:>22}")


def full(client: Redis, others: int = 0) -> Cost:
    """The cost of a permit for one appId whose pool is full, beside so many others that have been used."""
    lanes = start(client, 1 + others)
    lanes[0].fill()
    for other in lanes[1:]:
        for _ in range(3):
            other.permits(room=1)
    reset(client, lanes)
    taken = 0
    while taken < MEASURED:
        taken += lanes[0].permits()
    return cost(client, lanes, taken)


def full_beside_others(client: Redis) -> Cost:
    return full(client, APPIDS - 1)


def by_turns(client: Redis) -> Cost:
    """The cost of a permit where each of many appIds has an equal share of as many calls as one may have."""
    lanes = start(client, APPIDS)
    taken = 0
    for turn in range(2 * APPIDS * TURNS):
        if turn == APPIDS * TURNS:
            reset(client, lanes)
            taken = 0
        lane = lanes[turn % APPIDS]
        lane.now = START_TIME * _MICRO + int(turn * WINDOW / N * _MICRO)
        taken += lane.permits(room=1)
    return cost(client, lanes, taken)


def start(client: Redis, appids: int) -> list[Lane]:
    client.flushdb()
    return [Lane(client, f"wx{number}") for number in range(appids)]


def reset(client: Redis, lanes: list[Lane]) -> None:
    """Has the counts begin anew."""
    client.config_resetstat()
    for lane in lanes:
        lane.filed_in = 0


def cost(client: Redis, lanes: list[Lane], taken: int) -> Cost:
    stats: dict[str, Any] = client.info("commandstats")
    spent = stats["cmdstat_evalsha"]["usec"] - sum(lane.filed_in for lane in lanes)
    return Cost(spent / taken, max(lane.bytes() for lane in lanes))


class _Even(Watch):
    """A clock that goes evenly, and shows the time of a lane."""

    def __init__(self, lane: Lane) -> None:
        super().__init__()
        self._lane = lane

    def knows(self, ours: float) -> bool:  # noqa: ARG002 - the signature is Watch's
        return True

    def at(self, ours: float) -> tuple[int, int]:  # noqa: ARG002
        return self._lane.now + 1_000, 0


class Lane:
    """One lane in a time of its own; permits whose answers have come are settled with each take."""

    def __init__(self, client: Redis, appid: str) -> None:
        self.client = client
        self.appid = appid
        self.now = START_TIME * _MICRO
        self.epoch = 0
        #: microseconds of Redis' time for the filing of what it takes, since the counts were reset
        self.filed_in = 0
        #: checks that wait
        self._waiting = 0
        self._filed = 0
        #: when its answer comes, and the entry of the settled permit
        self.under_way: list[tuple[int, str]] = []
        vouch(client, appid)
        self._places = Places(self, SHARD, _Even(self), CALL_TIMEOUT)  # type: ignore[arg-type]

    def register_script(self, text: str) -> Any:
        """As Redis does; with a clock that the bench moves."""
        return self.client.register_script(
            text.replace("redis.call('TIME')", f"redis.call('HMGET', '{_CLOCK}', 's', 'us')")
        )

    def fill(self) -> None:
        """Until permits come only as those of a minute ago end, and the whole ring is in use."""
        end = self.now + int(3 * WINDOW * _MICRO)
        while self.now < end:
            self.permits()

    def permits(self, room: int = ROOM) -> int:
        """Takes as many permits as there are, or stays away as long as it is told; how many it took."""
        seconds, microseconds = divmod(self.now, _MICRO)
        self.client.hset(_CLOCK, mapping={"s": seconds, "us": microseconds})
        self._file(room - self._waiting)
        settled = SHARD.of_lane("text", self.appid)[3]
        while self.under_way and self.under_way[0][0] <= self.now:
            answered, permit = self.under_way.pop(0)
            self.client.rpush(settled, f"{permit}:{answered // 1000 + 1}")
        limits = LaneLimits("text", self.appid, N, PER_DAY, epoch=self.epoch, fresh=0)
        take = self._places.take({"text": room}, [limits], ["text"])
        for reply in take.lanes:
            self.epoch = reply.told[2]
        for held in take.held:
            if held.permit is None:
                raise RuntimeError("a take has handed out a check without a permit: is the lane vouched for?")
            one = held.permit
            entry = f"{one.bucket}:1:{one.day}:{one.epoch}"
            self.under_way.append((self.now + _micro(one.ahead + ANSWER), entry))
        self._waiting -= len(take.held)
        if not take.held:
            self.now += _micro(take.seconds or 0) + 1_000
        return len(take.held)

    def _file(self, number: int) -> None:
        if not number:
            return
        before = self._evalsha()
        checks = [f"{self.appid}-{self._filed + one}" for one in range(number)]
        self._places.file([Message(one, "", "text", self.appid, 3, "") for one in checks])
        self._filed += number
        self._waiting += number
        self.filed_in += self._evalsha() - before

    def _evalsha(self) -> int:
        stats: dict[str, Any] = self.client.info("commandstats")
        return int(stats.get("cmdstat_evalsha", {}).get("usec", 0))

    def bytes(self) -> int:
        """Of the lane's permits, with the names of their keys."""
        return sum(self.client.memory_usage(name, samples=0) or 0 for name in SHARD.of_lane("text", self.appid)[1:4])


def _micro(seconds: float) -> int:
    return int(seconds * _MICRO)


if __name__ == "__main__":
    main()
