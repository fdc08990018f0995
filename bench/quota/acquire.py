"""``python -m bench.quota.acquire``: what one permit costs Redis, and what a lane keeps there.

A Redis of its own; a pool that is full, as it is under a backlog: a permit comes whenever one of a minute ago ends. Or
a thousand lanes by turns, each of which has a quarter of a minute to tidy up when its turn comes. In the real thing the
window is a minute of Redis' own clock; here the clock is a key that the bench moves, so that it need not take minutes.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from redis import Redis

from bench.redis_load import connect, version
from ops.local.ports import free_port
from ops.local.processes import Processes
from ops.local.redis_server import embedded_redis
from store import keys
from store.connection import vouch
from store.quota.permits import LOOK_AHEAD, START, WINDOW
from store.scripts import whole

N, PER_DAY = 4_000, 2_000_000
CALL_TIMEOUT = 10.0
#: seconds that a call takes, and the permits that are measured
ANSWER = 0.2
MEASURED = 4_000
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
            other.permit()
    client.config_resetstat()
    taken = 0
    while taken < MEASURED:
        taken += lanes[0].permit()
    return cost(client, lanes)


def full_beside_others(client: Redis) -> Cost:
    return full(client, APPIDS - 1)


def by_turns(client: Redis) -> Cost:
    """The cost of a permit where each of many appIds has an equal share of as many calls as one may have."""
    lanes = start(client, APPIDS)
    for turn in range(2 * APPIDS * TURNS):
        if turn == APPIDS * TURNS:
            client.config_resetstat()
        lane = lanes[turn % APPIDS]
        lane.now = START_TIME * _MICRO + int(turn * WINDOW / N * _MICRO)
        lane.permit()
    return cost(client, lanes)


def start(client: Redis, appids: int) -> list[Lane]:
    client.flushdb()
    return [Lane(client, f"wx{number}") for number in range(appids)]


def cost(client: Redis, lanes: list[Lane]) -> Cost:
    stats: dict[str, Any] = client.info("commandstats")
    return Cost(stats["cmdstat_evalsha"]["usec_per_call"], max(lane.bytes() for lane in lanes))


class Lane:
    """One lane in a time of its own; every call settles the permit whose answer has come."""

    def __init__(self, client: Redis, appid: str) -> None:
        self.client = client
        self.appid = appid
        self.now = START_TIME * _MICRO
        self.epoch = 0
        #: bucket, when its answer comes, day
        self.under_way: list[tuple[int, int, int]] = []
        vouch(client, appid)
        text = whole("store/quota/take")
        self.script = client.register_script(
            text.replace("redis.call('TIME')", f"redis.call('HMGET', '{_CLOCK}', 's', 'us')")
        )

    def fill(self) -> None:
        """Until permits come only as those of a minute ago end, and the whole ring is in use."""
        end = self.now + int(3 * WINDOW * _MICRO)
        while self.now < end:
            self.permit()

    def permit(self) -> int:
        """Takes a permit, or stays away as long as it is told; how many it took."""
        seconds, microseconds = divmod(self.now, _MICRO)
        self.client.hset(_CLOCK, mapping={"s": seconds, "us": microseconds})
        settled: list[str | int] = []
        while self.under_way and self.under_way[0][1] <= self.now:
            bucket, answered, day = self.under_way.pop(0)
            settled += (bucket, self.now - answered, day)
        args: list[str | int] = [
            *("take", N, PER_DAY, 0, 0, _micro(WINDOW), _micro(CALL_TIMEOUT + START), _micro(LOOK_AHEAD)),
            *(self.now + 1_000, 0, self.epoch, 0, 0, 0),
        ]
        verdict, wait, _now, self.epoch, day, _used, last, _clock = self.script(
            keys=[keys.quota(self.appid, "text"), keys.ring(self.appid, "text"), keys.LANES], args=args + settled
        )
        if verdict == "wait":
            self.now += wait + 1
            return 0
        if verdict != "send":
            raise RuntimeError(f"quota/take said {verdict!r} to a bench that expects permits: is the lane vouched for?")
        # the backlog's next process calls at once, as far ahead as it may look
        self.under_way.append((last, self.now + wait + _micro(ANSWER), day))
        return 1

    def bytes(self) -> int:
        """Of the lane's hash and ring, with their names."""
        names = (keys.quota(self.appid, "text"), keys.ring(self.appid, "text"))
        return sum(self.client.memory_usage(name, samples=0) or 0 for name in names)


def _micro(seconds: float) -> int:
    return int(seconds * _MICRO)


if __name__ == "__main__":
    main()
