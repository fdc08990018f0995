"""An appId's first checks open its lane at once for any number of processes.

Tests: store.places.open_lanes, store.places.vouching
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.places.forms import Message
from store.places.open_lanes import OpenLanes
from store.places.places import Places
from store.places.vouching import vouch
from store.quota.clock import Watch
from store.quota.permit import Permit
from store.quota.rates import Rates
from tests.support.quota_world import SHARD, known_key, mini_program

#: seconds for one step of a thread: generous
STEP = 30.0


class Asker(threading.Thread):
    """A process that asks for a permit, and says each command to Redis, or asks the platform, when it is its turn."""

    def __init__(self, server: redis.Redis, counted: int | None) -> None:
        super().__init__(daemon=True)
        self.counted = counted
        #: whether it has asked the platform because there was no state
        self.was_told = False
        #: a permit, or why there is none
        self.got: Permit | str | BaseException | None = None
        self._turn, self._stands = threading.Semaphore(0), threading.Semaphore(0)
        self._watched = False
        asker = self

        class Client(redis.Redis):
            def execute_command(self, *args: Any, **options: Any) -> Any:
                asker.wait()
                return redis.Redis.execute_command(self, *args, **options)

        self._places = Places(Client(connection_pool=server.connection_pool), SHARD, Watch(), 3.0)
        self._lanes = OpenLanes(self._places, {"wx1": mini_program(60_000, appid="wx1")}, Rates(server), 4.0)

    def run(self) -> None:
        self._watched = True
        try:
            while self.got is None:
                self.got = self._take()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.got = error
        finally:
            self._watched = False
            self._stands.release()

    def _take(self) -> Permit | str | None:
        """A permit; "pause" if the lane's state is there and nothing is sent for long; None: it asks again."""
        held, seconds, _ = self._lanes.take({"text": 1}, ["text"])
        for one in held:
            if one.permit is not None:
                return one.permit
            assert one.is_first
            self.was_told = True
            self._lanes.found_out("text", "wx1", self._count())
            self._places.give_back(one)
        return "pause" if seconds is not None and seconds > 2 else None

    def _count(self) -> int | None:
        self.wait()
        return self.counted

    def wait(self) -> None:
        if self._watched and threading.current_thread() is self:
            self._stands.release()
            assert self._turn.acquire(timeout=STEP)

    def step(self) -> None:
        """Lets it do one thing, until it stands before the next one, or has ended."""
        if self.got is not None:  # a thread may live on for a moment after its last step
            return
        self._turn.release()
        assert self._stands.acquire(timeout=STEP)

    def begin(self) -> None:
        self.start()
        assert self._stands.acquire(timeout=STEP)


def asked(server: redis.Redis, counts: list[int | None], turns: list[int]) -> list[Asker]:
    """Askers that have asked at once, whose steps were taken in the order of ``turns``."""
    Places(server, SHARD, Watch(), 3.0).file(
        [Message(f"check-{number}", "", "text", "wx1", 3, str(number)) for number, _ in enumerate(counts)]
    )
    askers = [Asker(server, count) for count in counts]
    for asker in askers:
        asker.begin()
    for turn in turns:
        askers[turn % len(askers)].step()
    while any(asker.got is None for asker in askers):
        for asker in askers:
            if asker.got is None:
                asker.step()
    for asker in askers:
        asker.join(STEP)
    return askers


def is_vouched_for(server: redis.Redis) -> None:
    vouch(server, "wx1")


def is_new_on_a_redis_that_is_long_known(server: redis.Redis) -> None:
    run = server.info("server")["run_id"]
    server.hset(known_key(), mapping={"run": run, "since": int((time.time() - 3600) * 1e6)})


turns = st.lists(st.integers(0, 9), min_size=12, max_size=40)
plenty = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("known", [is_vouched_for, is_new_on_a_redis_that_is_long_known])
@plenty
@given(number=st.integers(2, 6), turns=turns)
def test_a_lane_that_may_open_at_once_opens_for_all_who_ask(
    server: redis.Redis, known: Callable[[redis.Redis], None], number: int, turns: list[int]
) -> None:
    server.flushdb()
    known(server)
    for asker in asked(server, [None] * number, turns):
        assert isinstance(asker.got, Permit), asker.got


@plenty
@given(counts=st.lists(st.sampled_from([0, None]), min_size=2, max_size=6), turns=turns)
def test_a_lane_opens_for_all_whom_the_platform_tells_that_nothing_was_sent(
    server: redis.Redis, counts: list[int | None], turns: list[int]
) -> None:
    server.flushdb()
    with pytest.MonkeyPatch.context() as patch:
        # whatever the time is when the test runs
        patch.setattr("store.places.open_lanes.MIDNIGHT_MARGIN", -1000)
        for asker in asked(server, counts, turns):
            if asker.counted == 0 and asker.was_told:
                assert isinstance(asker.got, Permit), asker.got


@plenty
@given(number=st.integers(2, 6), turns=turns)
def test_a_lane_of_which_nothing_is_known_opens_for_nobody(server: redis.Redis, number: int, turns: list[int]) -> None:
    server.flushdb()
    for asker in asked(server, [None] * number, turns):
        assert asker.got == "pause"
