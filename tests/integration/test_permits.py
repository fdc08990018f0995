"""A lane's permits keep its quota, on a real Redis, in a time that only the test lets pass.

Tests: store.quota.permits, store.quota.permit, store.quota.rates, store.places.closings
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from functools import partial

import pytest
import redis

from store.quota.permit import Permit
from store.quota.permits import LOOK_AHEAD, LOOK_AHEAD_LOW, START, WINDOW
from store.quota.rates import Rates
from tests.support.quota_world import (
    APPID,
    DAY,
    MIDNIGHT,
    SECOND,
    NoPermit,
    Process,
    World,
    embedded,
    mini_program,
    quota_key,
    ring_key,
)
from wechat.answers import Answer
from wechat.errcodes import Meaning
from wxcheck import CheckRefused

CALL_TIMEOUT = 10.0
#: seconds for which nothing is sent after what was sent is forgotten
PAUSE = WINDOW + LOOK_AHEAD + CALL_TIMEOUT + START


@pytest.fixture(scope="module")
def client() -> Iterator[redis.Redis]:
    with embedded() as client:
        yield client


@pytest.fixture
def world(client: redis.Redis) -> Iterator[World]:
    """A world whose lane is known to be new."""
    world = World(client)
    world.vouch()
    yield world
    world.close()


def process(world: World, n: int = 60, *, per_day: int = 1_000_000, reserve: float = 0.0, offset: int = 0) -> Process:
    return world.process(program=mini_program(n, per_day, reserve), offset=offset, call_timeout=CALL_TIMEOUT)


def wait(world: World, seconds: float) -> None:
    world.pass_time(round(seconds * SECOND))


def until(world: World, worker: Process, permit: Permit) -> None:
    """Waits until ``permit`` may be sent."""
    world.pass_time(worker.true(permit.send_at) - world.now)


def call(world: World, worker: Process, *, seconds: float = 0.0, low: bool = False) -> None:
    """One call, sent at once and answered after ``seconds``."""
    permit = worker.take(low=low)
    until(world, worker, permit)
    wait(world, seconds)
    worker.answered(permit)


def fill(world: World, worker: Process, calls: int) -> None:
    """So many calls, as fast as they may be sent, each answered at once."""
    while calls:
        try:
            call(world, worker)
            calls -= 1
        except NoPermit as snooze:
            wait(world, snooze.seconds)


# pacing


def take_all(worker: Process, calls: int) -> list[float]:
    """Seconds from now to the send times of a backlog."""
    sends: list[float] = []
    began = worker.world.now
    while len(sends) < calls:
        try:
            sends.append((worker.true(worker.take().send_at) - began) / SECOND)
        except NoPermit as snooze:
            wait(worker.world, snooze.seconds)
    return sends


def test_permits_are_spaced_evenly_over_the_window(world: World) -> None:
    assert take_all(process(world, 600), 300) == pytest.approx([number * 0.1 for number in range(300)], abs=0.001)


@pytest.mark.parametrize("idle", [2, 30])
def test_what_is_late_catches_up_one_second_and_never_bursts(world: World, idle: float) -> None:
    worker = process(world, 600)
    take_all(worker, 4)
    wait(world, idle)
    sends = take_all(worker, 60)
    spacing = 0.1 / 1.5
    # ten calls late: it takes thirty to make them good
    assert sends[:31] == pytest.approx([number * spacing for number in range(31)], abs=0.001)
    assert sends[31:] == pytest.approx([sends[30] + number * 0.1 for number in range(1, 30)], abs=0.001)


def test_a_lane_that_counts_as_much_as_it_can_says_when_to_ask_again() -> None:
    with embedded() as client:
        # a script that runs on and has written can be ended in no other way
        end = threading.Timer(10, partial(client.execute_command, "SHUTDOWN", "NOSAVE", "NOW", "FORCE"))
        world = World(client)
        world.vouch()
        worker = process(world)
        worker.rate = (10**9, 1)
        worker.take()
        # as after so many calls that each fortieth of a second counts as many as it can
        client.eval("redis.call('SET', KEYS[1], string.rep('\\255', 4096))", 1, ring_key())
        client.hset(quota_key(), "sum", 255 * 4096)
        end.start()
        try:
            assert 0 < worker.snoozed().seconds <= WINDOW
        finally:
            end.cancel()
            world.close()


@pytest.mark.long
def test_what_there_were_no_permits_for_catches_up_three_seconds(world: World) -> None:
    worker = process(world, 600)
    began = world.now
    measured = 0
    while world.now - began < 300 * SECOND:
        try:
            permit = worker.take()
        except NoPermit as snooze:
            wait(world, max(snooze.seconds, 0.001))
            continue
        at = worker.true(permit.send_at)
        measured += 120 * SECOND <= at - began < 300 * SECOND
        # answers come now late, now at once, and so do permits: none for a while, then two for each send time
        seconds = 2.5 if (at - began) // SECOND % 40 < 20 else 0.2
        world.later(at + round(seconds * SECOND), partial(worker.answered, permit))
    # caught up by a second only, it is 97.6 % of 1,800
    assert measured >= 0.98 * 1800


def test_what_has_no_place_within_the_look_ahead_is_told_how_long_to_stay_away(world: World) -> None:
    worker = process(world, 60)
    spacing = WINDOW / 60
    worker.take()
    snooze = worker.snoozed()
    assert snooze.why == "minute"
    assert snooze.seconds == pytest.approx(spacing - LOOK_AHEAD, abs=0.001)
    wait(world, snooze.seconds)
    assert worker.true(worker.take().send_at) == pytest.approx(world.now + LOOK_AHEAD * SECOND, abs=5)


def test_low_priority_looks_less_far_ahead(world: World) -> None:
    worker = process(world, 230)  # a permit each 0.25 s
    worker.take(low=True)
    assert worker.snoozed(low=True).seconds == pytest.approx(WINDOW / 230 - LOOK_AHEAD_LOW, abs=0.001)
    worker.take()


def test_a_permit_says_until_when_the_call_may_begin_and_when_it_must_be_over(world: World) -> None:
    worker = process(world, 600, offset=777)
    worker.take()
    worker.redis.out, worker.redis.back = 100_000, 200_000
    before = worker.clock(world.now)
    permit = worker.take()
    wait_ = permit.send_at - worker.clock(world.now)
    assert permit.begin_by == pytest.approx(before + wait_ + START)
    assert permit.over_by == pytest.approx(before + wait_ + START + CALL_TIMEOUT)


# the pool


def test_with_the_pool_full_the_next_permit_comes_when_the_oldest_answer_is_60_seconds_old(world: World) -> None:
    worker = process(world, 10)
    call(world, worker, seconds=4)
    answered = world.now
    fill(world, worker, 9)
    snooze = worker.snoozed()
    assert snooze.why == "minute"
    opens = world.now + (snooze.seconds + LOOK_AHEAD) * SECOND
    assert answered + WINDOW * SECOND <= opens <= answered + (WINDOW + 0.1) * SECOND


@pytest.mark.parametrize("quiet", [1, 30, 70])
def test_a_permit_counts_from_its_answer_however_late_somebody_asks_for_the_next(world: World, quiet: float) -> None:
    worker = process(world, 1)
    call(world, worker)
    wait(world, quiet)
    assert worker.left() == pytest.approx(max(0.0, WINDOW - quiet - LOOK_AHEAD), abs=0.1)


@pytest.mark.parametrize("early", [0.09, 0.03, 0.01, 0.001])
def test_who_comes_just_before_a_permit_ends_waits_for_its_end(world: World, early: float) -> None:
    worker = process(world, 1)
    call(world, worker, seconds=4)
    answered = world.now
    worker.left()
    world.pass_time(answered + (WINDOW - early) * SECOND - world.now)
    assert worker.true(worker.take().send_at) >= answered + WINDOW * SECOND


def test_a_call_that_nobody_answered_counts_until_60_seconds_after_its_time_out(world: World) -> None:
    worker = process(world, 1)
    sent = worker.true(worker.take().send_at)
    snooze = worker.snoozed()
    opens = world.now + (snooze.seconds + LOOK_AHEAD) * SECOND
    bound = sent + (WINDOW + CALL_TIMEOUT + START) * SECOND
    assert bound <= opens <= bound + 0.1 * SECOND


def test_an_unused_permit_goes_back_to_the_pool(world: World) -> None:
    worker = process(world, 1)
    permit = worker.take()
    worker.unused(permit)
    wait(world, 60)  # its place in time has passed; unanswered it would count until 71 s
    assert isinstance(worker.take(), Permit)


def test_a_backlog_uses_what_the_bound_leaves(world: World) -> None:
    worker = process(world, 60)
    fill(world, worker, 60)
    start = world.now
    calls = 300
    fill(world, worker, calls)
    # 60 s and, on average, half a bucket
    assert calls / 60 / ((world.now - start) / SECOND / 60) >= 60 / 60.11


def test_a_permit_is_settled_with_the_next_take_and_once_however_often_its_end_is_told(world: World) -> None:
    worker = process(world, 600)
    permit = worker.take()
    world.redis.hset(quota_key(), "slot", world.now + 3600 * SECOND)
    for _ in range(2):
        worker.unused(permit)
    assert world.state("sum") == 1
    worker.left()
    assert world.state("sum") == world.state("used") == 0


def test_at_most_64_permits_are_settled_in_one_step(world: World) -> None:
    worker = process(world, 6000)
    permits = []
    for _ in range(70):
        wait(world, 0.01)
        permits.append(worker.take())
    world.redis.hset(quota_key(), "slot", world.now + 3600 * SECOND)
    for permit in permits:
        worker.unused(permit)
    worker.left()
    assert world.state("sum") == 6
    worker.left()
    assert world.state("sum") == 0


def test_several_checks_get_the_permits_of_one_take(world: World) -> None:
    worker = process(world, 600)
    sends = [worker.true(permit.send_at) - world.now for permit in worker.takes(16)]
    assert sends == pytest.approx([0, 0.1 * SECOND, 0.2 * SECOND, 0.3 * SECOND], abs=5)
    assert worker.snoozed().seconds == pytest.approx(0.1, abs=0.001)


def test_a_bucket_that_is_full_hands_on_to_the_next_one(world: World) -> None:
    worker = process(world, 600_000)
    permit = worker.take()
    ring = ring_key()
    world.redis.setrange(ring, permit.bucket % world.redis.strlen(ring), b"\xff")
    world.redis.hset(quota_key(), "sum", 255)
    assert worker.take().bucket == permit.bucket + 1
    assert world.state("sum") == 256


# the day


def test_the_days_quota_used_up_closes_the_lane_until_midnight_in_shanghai(world: World) -> None:
    worker = process(world, 600, per_day=3)
    fill(world, worker, 3)
    snooze = worker.snoozed()
    assert snooze.why == "day"
    assert world.now + snooze.seconds * SECOND == pytest.approx(MIDNIGHT + SECOND / 2, abs=5)
    wait(world, snooze.seconds - 0.001)
    assert worker.snoozed().why == "day"
    wait(world, 0.001)
    worker.take()
    assert world.state("used") == 1


def test_calls_around_midnight_count_for_both_days(client: redis.Redis) -> None:
    world = World(client, MIDNIGHT - 12 * SECOND)
    world.vouch()
    worker = process(world, 600, per_day=5)
    call(world, worker)  # answered long before midnight
    wait(world, 1)
    unanswered = worker.take()
    until(world, worker, unanswered)
    world.pass_time(MIDNIGHT - 200_000 - world.now)
    call(world, worker)
    world.pass_time(MIDNIGHT + SECOND - world.now)
    worker.take()
    # the one that may still arrive, the one of 0.2 s before midnight, and this one
    assert world.state("used") == 3
    world.close()


def test_a_share_of_the_day_is_kept_back_from_low_priority_only(world: World) -> None:
    worker = process(world, 600, per_day=10, reserve=0.3)
    for _ in range(7):
        call(world, worker, low=True)
        wait(world, 1)
    snooze = worker.snoozed(low=True)
    assert snooze.why == "reserve"
    assert world.now + snooze.seconds * SECOND == pytest.approx(MIDNIGHT + SECOND / 2, abs=5)
    fill(world, worker, 3)
    assert worker.snoozed().why == "day"


def test_an_unused_permit_does_not_count_for_the_day(world: World) -> None:
    worker = process(world, 600, per_day=2)
    for _ in range(10):
        worker.unused(worker.take())
        wait(world, 1)
    call(world, worker)
    call(world, worker)
    assert worker.snoozed().why == "day"


def test_the_platforms_count_is_gone_by_where_it_is_higher(world: World) -> None:
    world.counted = 7
    worker = process(world, 600, per_day=10)
    fill(world, worker, 4)  # the first one is not among the 7, or it is
    assert worker.snoozed().why == "day"


def test_the_platform_is_asked_for_its_count_where_a_lane_is_new_not_by_each_process_that_comes_later(
    world: World,
) -> None:
    first = process(world, 600)
    call(world, first)
    call(world, process(world, 600))
    assert world.asked == 2
    world.pass_time(int((first.pause + 1) * SECOND))
    call(world, process(world, 600))
    assert world.asked == 2


def test_the_platform_is_asked_again_where_it_did_not_tell_its_count(world: World) -> None:
    worker = process(world, 600, per_day=10)
    call(world, worker)
    call(world, worker)
    assert world.asked == 1
    world.counted = 9
    wait(world, 10)
    call(world, worker)
    call(world, worker)
    assert worker.snoozed().why == "day"
    assert world.asked == 2


def test_the_platforms_count_is_gone_by_from_when_it_is_asked_for_and_only_where_it_is_higher(world: World) -> None:
    worker, asks = process(world, 600, per_day=10), process(world, 600, per_day=10)
    fill(world, worker, 4)
    assert asks.counted_today() == 4
    asks.counted_today(2)
    assert asks.counted_today() == 4
    asks.counted_today(8)
    assert asks.counted_today() == world.state("used") == 8
    fill(world, worker, 2)
    assert worker.snoozed().why == "day"


def test_a_count_of_the_day_before_is_not_gone_by(world: World) -> None:
    worker = process(world, 600, per_day=10)
    fill(world, worker, 4)
    worker.counted_today()
    wait(world, 86_400)
    worker.counted_today(9)
    assert worker.counted_today() == 0


def test_asking_for_the_count_of_a_lane_that_nobody_has_used_makes_nothing(client: redis.Redis) -> None:
    world = World(client)
    try:
        asks = process(world)
        assert asks.counted_today() == 0
        asks.counted_today(9)
        assert not client.exists(quota_key())
    finally:
        world.close()


# loss


def test_after_the_loss_of_its_state_a_lane_pauses_for_a_window_a_look_ahead_and_a_time_out(world: World) -> None:
    worker = process(world, 600)
    call(world, worker)
    world.lose_state()
    snooze = worker.snoozed()
    assert snooze.why == "pause"
    assert snooze.seconds == pytest.approx(PAUSE)
    wait(world, PAUSE - 0.001)
    assert worker.snoozed().why == "pause"
    wait(world, 0.001)
    worker.take()


@pytest.mark.parametrize("lost", [quota_key(), ring_key()])
@pytest.mark.parametrize("low", [False, True])
def test_the_loss_of_one_key_pauses_the_lane_whoever_sees_it(world: World, lost: str, low: bool) -> None:
    call(world, process(world, 600))
    world.redis.delete(lost)
    snooze = process(world, 600).snoozed(low=low)
    assert snooze.why == "pause"
    assert snooze.seconds >= PAUSE


def test_another_run_of_redis_pauses_the_lane(world: World) -> None:
    worker = process(world, 600)
    call(world, worker)
    world.run += 1
    snooze = worker.snoozed()
    assert (snooze.why, snooze.seconds) == ("pause", PAUSE)
    assert world.state("used") == 1
    wait(world, PAUSE)
    worker.take()


def test_the_pause_says_itself_in_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    worker = process(world, 600)
    call(world, worker)
    world.lose_state()
    wait(world, 0.001)
    with caplog.at_level(logging.WARNING):
        worker.snoozed()
    assert "quota_unknown appid=wx1 lane=text" in caplog.text


def test_a_process_that_has_used_the_lane_tells_the_day_what_was_lost(world: World) -> None:
    worker = process(world, 600, per_day=10)
    fill(world, worker, 9)
    world.lose_state()
    assert worker.snoozed().why == "pause"
    wait(world, PAUSE)
    worker.take()
    wait(world, 1)
    assert worker.snoozed().why == "day"


def test_a_process_that_has_used_the_lane_sees_its_loss_on_a_redis_that_would_open_it(world: World) -> None:
    worker = process(world, 600)
    call(world, worker)
    world.lose_state()
    world.vouch()
    assert worker.snoozed().why == "pause"


def test_a_permit_of_a_state_that_is_gone_is_not_settled(world: World) -> None:
    worker = process(world, 600)
    old = worker.take()
    world.run += 1
    wait(world, 0.001)
    worker.snoozed()  # the state is made anew
    world.redis.hset(quota_key(), "opens", 0)
    assert worker.take().bucket == old.bucket
    worker.unused(old)
    worker.take()
    assert len(worker.redis.said[-1].settled) == 1
    assert world.state("sum") == world.state("used") - 1 == 2


def test_a_lane_of_a_new_redis_pauses_until_it_is_vouched_for(client: redis.Redis) -> None:
    world = World(client)
    assert process(world).snoozed().seconds == pytest.approx(PAUSE)
    world.lose_state()
    world.vouch()
    process(world).take()
    process(world).take(lane="media")
    world.redis.delete(quota_key())
    assert process(world).snoozed().why == "pause"  # vouching counts once
    world.close()


def test_a_lane_that_is_new_on_a_redis_that_is_long_known_opens_at_once(client: redis.Redis) -> None:
    world = World(client)
    world.vouch("wx0")
    late = world.process(program=mini_program(appid="wx2"))
    wait(world, 2 * PAUSE - 1)
    assert late.snoozed().why == "pause"
    wait(world, 1)
    world.process(program=mini_program(appid="wx3")).take()
    world.close()


def test_the_platform_may_say_that_nothing_was_sent(client: redis.Redis) -> None:
    world = World(client)
    world.counted = 0
    process(world).take()
    world.close()


@pytest.mark.parametrize("since_midnight", [1, 60, 120])
def test_soon_after_midnight_the_platforms_zero_says_nothing(client: redis.Redis, since_midnight: int) -> None:
    world = World(client, MIDNIGHT + since_midnight * SECOND)
    world.counted = 0
    assert process(world).snoozed().why == "pause"
    world.close()


# Redis' clock


@pytest.mark.parametrize("step", [-30, -5, 0.3, 5, 30])
def test_a_step_of_redis_clock_lets_what_counts_count_a_second_longer(world: World, step: float) -> None:
    worker = process(world, 10)
    fill(world, worker, 10)
    seconds = worker.snoozed().seconds
    world.ahead += int(step * SECOND)
    assert worker.left() == pytest.approx(seconds, abs=0.1)
    wait(world, seconds - 0.2)
    assert worker.snoozed().why == "minute"
    wait(world, 1.6)
    worker.take()


@pytest.mark.parametrize("step", [0.05, 0.3, 0.8, 2])
def test_a_step_that_one_process_has_seen_and_another_has_not_is_not_time_that_passed(
    world: World, step: float
) -> None:
    sees, blind = process(world, 1), process(world, 1)
    call(world, sees)
    for each in (sees, blind):
        each.left()
    seconds = sees.left()
    world.processes.remove(blind)
    world.ahead += int(step * SECOND)
    world.read_clock()
    for _ in range(5):
        wait(world, 0.2)
        blind.left()
        wait(world, 0.01)
        sees.left()
    assert sees.left() >= seconds - 5 * 0.21 - 0.03


@pytest.mark.parametrize(
    "millionths",
    [80_000, *(pytest.param(gain, marks=pytest.mark.long) for gain in (-80_000, -5_000, 2_500, 5_000, 20_000))],
)
def test_a_clock_that_is_slewed_gains_next_to_nothing(world: World, millionths: int) -> None:
    workers = [process(world, 1) for _ in range(4)]
    call(world, workers[0])
    for worker in workers:
        worker.left()
    world.gain = millionths
    for turn in range(3930):
        assert workers[turn % 4].left() >= 60 - LOOK_AHEAD - turn * 0.015 - 0.2
        wait(world, 0.015)
    world.gain = 0
    wait(world, 60 + 2)
    workers[0].take()


def test_what_one_process_cannot_say_of_the_time_that_passed_another_says(world: World) -> None:
    old = process(world, 1)
    call(world, old)
    seconds = old.left()
    for _ in range(20):
        wait(world, 0.5)
        process(world, 1).left()  # comes, asks once, and goes
        world.processes.pop()
        old.left()
    assert old.left() == pytest.approx(seconds - 10, abs=0.1)


def test_a_step_while_a_lane_was_quiet_costs_the_time_since_its_last_call(world: World) -> None:
    worker = process(world, 1)
    call(world, worker)
    seconds = worker.left()
    wait(world, 50)
    world.ahead += SECOND
    wait(world, 2)
    assert seconds - 3 <= worker.left() <= seconds
    wait(world, seconds + 0.1)
    worker.take()


def test_a_process_that_cannot_read_the_clock_says_so_and_takes_the_time_for_none(world: World) -> None:
    worker = process(world, 1)
    permit = worker.take()
    until(world, worker, permit)
    worker.answered(permit)
    worker.redis.away = True
    world.processes.remove(worker)
    wait(world, 10)
    with pytest.raises(redis.ConnectionError):
        worker.left()
    worker.redis.away = False
    world.processes.append(worker)
    assert worker.left() == pytest.approx(60 - LOOK_AHEAD, abs=0.1)  # its answer was settled with this
    wait(world, 60)
    worker.take()


def test_a_quiet_lane_costs_no_calls_and_its_time_goes_on(world: World) -> None:
    worker, other = process(world, 1), process(world, 1)
    call(world, worker)
    worker.left()
    other.left()
    worker.redis.calls = other.redis.calls = 0
    wait(world, 59)
    assert worker.redis.calls == other.redis.calls == 0
    assert other.snoozed().seconds == pytest.approx(1 - LOOK_AHEAD, abs=0.1)
    wait(world, 1)
    other.take()


@pytest.mark.parametrize("quiet", [2, 20, 200])
def test_a_clock_that_is_put_back_and_later_forward_takes_nothing_from_what_counts(world: World, quiet: float) -> None:
    old, busy = process(world, 1), process(world, 1)
    old.unused(old.take())
    world.redis.hdel(quota_key(), "slot", "due")
    wait(world, quiet)
    world.ahead -= round(quiet * SECOND)  # as if no time had passed
    wait(world, 2)
    call(world, busy)
    busy.left()
    world.ahead += round(quiet * SECOND)
    wait(world, 2)
    seconds = old.snoozed().seconds
    assert seconds >= 58 - LOOK_AHEAD
    wait(world, seconds - 0.5)
    assert busy.snoozed().why == "minute"


def test_a_process_that_is_new_lengthens_what_counts_and_never_shortens_it(world: World) -> None:
    old = process(world, 1)
    call(world, old)
    old.left()
    wait(world, 30)
    old.left()
    wait(world, 5)
    process(world, 1).left()  # it can't say what the last five seconds were
    world.ahead += 5 * SECOND
    wait(world, 1)
    assert 60 - 36 - LOOK_AHEAD <= old.snoozed().seconds <= 60 - 30


def test_a_process_that_is_new_does_not_take_a_step_of_the_clock_for_time_that_passed(world: World) -> None:
    fill(world, process(world, 10), 10)
    world.ahead += 60 * SECOND
    assert process(world, 10).snoozed().why == "minute"


def test_a_call_that_is_late_on_its_way_is_no_step(world: World) -> None:
    worker = process(world, 600)
    worker.take()
    worker.redis.out = 500_000
    worker.take()
    worker.redis.out = 0
    worker.take()
    assert world.state("now") == world.wall


def test_a_lane_made_anew_goes_by_its_own_time(world: World) -> None:
    """A process that remembers the time of a state that is gone does not slow the new one."""
    worker = process(world, 600)
    worker.take()
    world.ahead += 30 * SECOND  # put right: the lane's time stays behind Redis' clock
    worker.take()
    world.lose_state()
    other = process(world, 600)
    seconds = other.snoozed().seconds
    wait(world, 30)
    assert worker.snoozed().seconds == pytest.approx(seconds - 30, abs=1.5)
    wait(world, 30)
    assert worker.snoozed().seconds == pytest.approx(seconds - 60, abs=1.5)


# what the platform says


@pytest.mark.parametrize(
    ("said", "ends"),
    [
        (Meaning.SNOOZE_SECOND, lambda now: now + SECOND),
        (Meaning.SNOOZE_MINUTE, lambda now: (now // (60 * SECOND) + 1) * 60 * SECOND + SECOND // 2),
        (Meaning.SNOOZE_DAY, lambda _now: MIDNIGHT + SECOND // 2),
    ],
)
def test_a_refusal_of_the_platform_closes_the_lane(world: World, said: Meaning, ends: object) -> None:
    assert callable(ends)
    worker = process(world, 600)
    call(world, worker)
    wait(world, 17.25)
    end = ends(world.now)
    worker.close(said)
    other = process(world, 600)
    assert world.now + other.snoozed().seconds * SECOND == pytest.approx(end, abs=5)
    assert other.snoozed().why == "closed"
    other.take(lane="media")
    world.pass_time(end - world.now)
    other.take()


def test_a_closed_lane_never_opens_earlier(world: World) -> None:
    worker = process(world, 600)
    call(world, worker)
    worker.close(Meaning.SNOOZE_DAY)
    worker.close(Meaning.SNOOZE_MINUTE)
    assert worker.snoozed().seconds == pytest.approx((MIDNIGHT - world.now) / SECOND + 0.5)


def test_each_closing_takes_a_tenth_of_the_rate_to_a_half_at_most_and_for_ten_minutes(world: World) -> None:
    worker = process(world, 10)
    wait(world, 1)
    worker.take()
    rates = []
    for _ in range(7):
        worker.close(Meaning.SNOOZE_SECOND)
        worker.close(Meaning.SNOOZE_MINUTE)  # of a call that was under way: the same refusal
        wait(world, 75)  # everything before is forgotten
        count = 0
        start = world.now
        while world.now < start + 60 * SECOND:
            try:
                permit = worker.take()
                until(world, worker, permit)
                count += 1
            except NoPermit as snooze:
                wait(world, snooze.seconds)
        rates.append(count)
        wait(world, 75)
    assert rates == [9, 8, 7, 6, 5, 5, 5]
    wait(world, 600)
    fill(world, worker, 10)


def test_a_lane_closed_for_the_day_loses_nothing_of_the_rate(world: World) -> None:
    worker = process(world, 10)
    call(world, worker)
    worker.close(Meaning.SNOOZE_DAY)
    assert world.state("cut") == 0


def test_an_appid_that_the_platform_refuses_is_not_called_for_a_while_on_either_lane(world: World) -> None:
    worker = process(world, 600)
    worker.take()
    worker.take(lane="media")
    refused = worker.stop(Answer(48001, "not authorised rid: 1-2-3", {}))
    for lane in ("text", "media"):
        with pytest.raises(CheckRefused) as raised:
            process(world, 600).take(lane=lane)
        assert raised.value.args == refused.args
        assert raised.value.args[0] == 48001
    wait(world, 10)
    worker.take()


def test_what_did_not_go_out_while_it_was_closed_is_not_caught_up(world: World) -> None:
    worker = process(world, 600)
    take_all(worker, 4)
    worker.close(Meaning.SNOOZE_SECOND)
    wait(world, 1)
    assert take_all(worker, 20) == pytest.approx([number / 9 for number in range(20)], abs=0.01)


@pytest.mark.parametrize("field", ["closed_until", "stopped"])
def test_a_lane_opens_although_a_clock_was_a_year_ahead_when_it_was_closed(world: World, field: str) -> None:
    worker = process(world, 600)
    worker.take()
    world.redis.hset(quota_key(), mapping={field: world.wall + 365 * DAY, "refusal": "[48001, '', '']"})
    assert isinstance(worker.take(), Permit)


def test_a_day_that_is_a_year_ahead_ends_all_the_same(world: World) -> None:
    worker = process(world, 600, per_day=3)
    worker.take()
    world.redis.hincrby(quota_key(), "day", 365)
    take_all(worker, 2)
    assert worker.snoozed().why == "day"
    world.pass_time(DAY)
    assert isinstance(worker.take(), Permit)


# rates


def test_the_rate_that_was_set_last_counts_whoever_asks(world: World) -> None:
    old, new = process(world, 600), process(world, 600)
    old.take()
    new.rate = (6, 1)
    wait(world, 1)
    new.take()
    wait(world, 1)
    assert old.snoozed().seconds == pytest.approx(60 / 600 + 60 / 6 - 2 - LOOK_AHEAD, abs=0.01)
    new.rate = (1200, 2)
    wait(world, 9)
    new.take()
    assert old.true(old.take().send_at) - world.now == pytest.approx(SECOND * 60 / 1200 / 1.5, abs=5)


def test_a_rate_of_the_settings_counts_at_once_where_none_was_set(world: World) -> None:
    process(world, 600).take()
    slower = process(world, 6)
    wait(world, 1)
    slower.take()
    assert slower.snoozed().seconds > 8


def test_a_rate_that_is_declared_holds_for_later_processes_until_it_is_reset(client: redis.Redis) -> None:
    client.flushdb()
    program = mini_program(100)
    Rates(client).declare("text", 30)
    assert Rates(client).of(program, "text")[:2] == (30, 1_000_000)
    assert Rates(client).of(program, "media")[0] == 100
    first = Rates(client).declared("text").version
    Rates(client).declare("text", None)
    assert Rates(client).of(program, "text")[0] == 100
    assert Rates(client).declared("text").version > first


def test_an_appids_own_lower_rate_outranks_one_that_is_declared_for_all(client: redis.Redis) -> None:
    client.flushdb()
    own = mini_program(100).model_copy(update={"own_rates": frozenset(["text_per_minute"])})
    Rates(client).declare("text", 300)
    assert Rates(client).of(own, "text")[0] == 100
    Rates(client).declare("text", 50)
    assert Rates(client).of(own, "text")[0] == 50


# size


def test_the_state_of_a_lane_stays_below_8_kb_however_many_lanes_there_are(world: World) -> None:
    def size(appid: str) -> int:
        names = [quota_key(appid=appid), ring_key(appid=appid)]
        return sum(world.redis.memory_usage(name, samples=0) or 0 for name in names)

    def use(appid: str) -> None:
        worker = world.process(program=mini_program(4000, appid=appid))
        for _ in range(20):
            wait(world, 0.02)
            worker.answered(worker.take())
        worker.stop(Answer(48001, "x" * 300, {}))

    use(APPID)
    alone = size(APPID)
    assert alone <= 8 * 1024
    for number in range(100):
        appid = f"wx{number:016x}"
        world.vouch(appid)
        use(appid)
    assert size(APPID) == alone
    assert max(size(f"wx{number:016x}") for number in range(100)) <= 8 * 1024
