"""Whatever comes in whatever order, a check is in one place, and ends once.

Tests: store.places.places
The scripts run on a real Redis, whose clock the test moves. The model is a table of the checks with the place of each.
``MODEL_EXAMPLES=500`` in the environment runs it for longer, with new examples each time.
"""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import pytest
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from config.lanes import Lane
from store.keys import COUNTERS
from store.places.forms import KEEP_ENDED, Ended, Held, LaneLimits, Message, Settled
from store.places.places import KEEP_EARLY, RELAY_LEASE
from store.places.shard import OWN
from tests.support.places_world import KINDS, LEASE, PlacesWorld
from tests.support.quota_world import SECOND, SHARD

#: how many examples to try, in place of the few that are always the same
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "40"))
#: from so many on they are new ones each time
MANY = 100

APPIDS = ("wx1", "wx2", "wx3")
FOLLOW_UPS = "app.follow_ups"


@dataclass
class Known:
    """What the model knows of a check."""

    kind: Lane
    appid: str
    digest: str
    place: str
    priority: int
    #: the end that is known, as in ``cause``
    ended: str | None = None
    trace: str | None = None
    #: the run that has it in hand
    run: str | None = None
    cancelled: bool = False
    times_ended: int = 0
    #: when it came last to its place
    since: int = 0
    extra: dict[str, Any] = field(default_factory=dict)


class Fate(NamedTuple):
    """What becomes of a check in hand."""

    what: str
    #: until it comes back from the shelf, or until its push must come
    seconds: float | None
    trace: int
    #: the answer is lost, and the run asks again
    twice: bool
    #: the check is cancelled before
    is_cancelled: bool


FATES = st.builds(
    Fate,
    what=st.sampled_from(["die", "die", "give_back", "park", "park", "park", "end"]),
    seconds=st.sampled_from([None, None, 3.0, 70.0]),
    trace=st.integers(1, 4),
    twice=st.booleans(),
    is_cancelled=st.sampled_from([False, False, True]),
)


def is_published_elsewhere(task_id: str) -> bool:
    """True for half of the checks: what follows them is published elsewhere."""
    return task_id.endswith(("0", "2", "4", "6", "8"))


#: what may happen, the likelier the more often it stands here
HAPPENS = (
    *("messages_come", "messages_come", "a_message_comes_again"),
    *("another_check_comes_under_its_id", "another_check_comes_under_its_id"),
    *("a_push_comes", "a_push_comes", "a_check_is_cancelled", "time_passes", "time_passes"),
    *("a_worker_takes", "a_worker_takes", "a_worker_takes", "a_run_goes_on", "a_worker_stands_still"),
)
OF_A_CHECK = ("a_message_comes_again", "another_check_comes_under_its_id", "a_check_is_cancelled")


class ChecksMove(RuleBasedStateMachine):
    """Workers that die at any line, brokers that repeat messages, pushes at any time."""

    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.store = PlacesWorld(self.client)
        self.world, self.places = self.store.world, self.store.places
        self.known: dict[str, Known] = {}
        #: traces of pushes that nobody waited for, and since when
        self.early: dict[tuple[str, str], int] = {}
        self.numbers = itertools.count(1)
        #: whatever a run ever had in hand
        self.in_hand: list[Held] = []

    def teardown(self) -> None:
        try:
            self.nothing_is_lost()
        finally:
            self.store.close()

    # what applications and the platform do

    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        """One rule for all: hypothesis leaves some rules out of an example, and here each makes way for others."""
        possible = [what for what in HAPPENS if self.known or what not in OF_A_CHECK]
        getattr(self, data.draw(st.sampled_from(possible)))(data)

    def messages_come(self, data: st.DataObject) -> None:
        now = self.world.wall / SECOND
        kind, appid = data.draw(st.sampled_from([*KINDS, KINDS[1]])), data.draw(st.sampled_from(APPIDS))
        priorities = data.draw(st.lists(st.sampled_from([0, 3, 9]), min_size=1, max_size=6))
        at, due = (
            data.draw(st.sampled_from([None, None, -5.0, 5.0])),
            data.draw(st.sampled_from([None, None, 1.0, 100.0])),
        )
        cause = data.draw(st.sampled_from([None, None, None, "refused"]))
        messages = []
        for priority in priorities:
            task_id = f"check-{next(self.numbers)}"
            messages.append(
                Message(
                    id=task_id,
                    text=f"message of {task_id}",
                    kind=kind,
                    appid=appid,
                    priority=priority,
                    digest=f"{task_id:>8}"[-8:],
                    at=None if at is None else now + at,
                    due=None if due is None else now + due,
                    why=None if due is None else "stale",
                    cause=None if cause is None else {"ended": cause},
                )
            )
            place = "ready" if cause else "shelf" if at is not None and at > 0 else "lane"
            self.known[task_id] = Known(
                kind, appid, messages[-1].digest, place, priority, ended=cause, extra={"due": messages[-1].due}
            )
        assert self.places.file(messages) == ["filed"] * len(messages)

    def _any(self, data: st.DataObject) -> str:
        """A check, of each place as likely."""
        place = data.draw(st.sampled_from(sorted({check.place for check in self.known.values()})))
        return data.draw(st.sampled_from([one for one, check in self.known.items() if check.place == place]))

    def a_message_comes_again(self, data: st.DataObject) -> None:
        task_id = self._any(data)
        check = self.known[task_id]
        again = Message(task_id, "again", check.kind, check.appid, check.priority, check.digest)
        assert self.places.file([again]) == ["repeated"]

    def another_check_comes_under_its_id(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(10, 12))
        task_id = self._any(data)
        check = self.known[task_id]
        spare = f"{task_id}~{next(self.numbers)}"
        other = Message(task_id, "another", check.kind, check.appid, check.priority, f"other-{number}", spare=spare)
        (said,) = self.places.file([other])
        if check.place != "ended":
            assert said == ("repeated" if check.digest == other.digest else "taken")
            if said == "taken":
                self.known[spare] = Known(check.kind, check.appid, other.digest, "ready", check.priority, ended="taken")
        elif said == "filed":
            assert check.digest != other.digest
            check.digest, check.place, check.trace, check.ended = other.digest, "lane", None, None
            check.run, check.cancelled, check.extra = None, False, {}
        else:
            # a check of this content has ended under this id, at some time
            assert said == "repeated"

    def a_push_comes(self, data: st.DataObject) -> None:
        parked = [check for check in self.known.values() if check.trace]
        if parked and data.draw(st.sampled_from([True, True, False])):
            check = data.draw(st.sampled_from(parked))
            appid, name = check.appid, str(check.trace)
        else:
            appid, name = data.draw(st.sampled_from(APPIDS)), f"trace-{data.draw(st.integers(1, 4))}"
        (pushed,) = self.places.push([(appid, name, json.dumps({"trace_id": name, "detail": []}))])
        of = next((check for check in self.known.values() if (check.appid, check.trace) == (appid, name)), None)
        if of is not None and (of.place == "parked" or (of.place, of.ended) == ("ready", "timeout")):
            assert pushed.what == "matched"
            assert self.known[str(pushed.id)] is of
            of.place, of.ended = "ready", "done"
        elif of is not None:
            assert pushed.what == {"timeout": "late", "cancelled": "orphaned"}.get(str(of.ended), "repeated")
        elif (appid, name) in self.early:
            assert pushed.what == "repeated"
        else:
            assert pushed.what == "early"
            self.early[appid, name] = self.world.wall

    def a_check_is_cancelled(self, data: st.DataObject) -> None:
        self._cancel(self._any(data))

    def _cancel(self, task_id: str) -> None:
        check = self.known[task_id]
        assert self.places.cancel([task_id]) == [check.place]
        if check.place in ("lane", "shelf", "parked"):
            check.place, check.ended = "ready", "cancelled"
        elif check.place == "hand" and check.ended is None:
            check.cancelled = True

    # what workers do

    def a_worker_takes(self, data: st.DataObject) -> None:
        room = data.draw(st.sampled_from([0, 1, 2, 4, 8]))
        named = data.draw(st.sampled_from([APPIDS, APPIDS, APPIDS[:1], APPIDS[1:]]))
        per_minute = data.draw(st.sampled_from([6, 600, 60_000]))
        first = {}
        for kind, appid in itertools.product(KINDS, APPIDS):
            waiting = self.client.zrange(SHARD.of_lane(kind, appid)[0], 0, 0, withscores=True)
            first[kind, appid] = waiting[0][1] if waiting else None
        limits = [LaneLimits(kind, appid, per_minute, 1_000, 500, 0) for kind in KINDS for appid in named]
        take = self.places.take({"text": room, "media": room, "push": room}, limits)
        assert {appid for _, appid in take.unknown}.isdisjoint(named)
        if not take.unknown:
            assert take.more or take.seconds is None or take.seconds > 0, "the worker would not come again"
        seen = set()
        for held in take.held:
            check = self.known[held.id]
            assert check.place in ("lane", "ready"), (held.id, check)
            assert (held.permit is None) == (check.place == "ready")
            assert (held.cause or {}).get("ended") == check.ended
            if check.place == "lane" and (held.kind, held.appid) not in seen:
                seen.add((held.kind, held.appid))
                score = held.check["priority"] * 2**48 + held.check["number"]
                assert score == first[held.kind, held.appid], "the first one of its lane"
            check.place, check.run = "hand", held.run
            self.in_hand.append(held)
        for queue in ("text", "media", "push"):
            assert sum(self._queue(held) == queue for held in take.held) <= room
        for held in take.held:
            self._goes_on(held, data.draw(FATES))

    def a_run_goes_on(self, data: st.DataObject) -> None:
        """It may have stood still until its lease was over, and longer."""
        if self.in_hand:
            mine = [held for held in self.in_hand if held.id in self.known and self.known[held.id].place == "hand"]
            which = data.draw(st.sampled_from([mine or self.in_hand, self.in_hand]))
            self._goes_on(data.draw(st.sampled_from(which)), data.draw(FATES))

    def a_worker_stands_still(self, data: st.DataObject) -> None:
        """Its leases end, others take its checks, and then it goes on."""
        stood_still = [held for held in self.in_hand if held.id in self.known and self.known[held.id].place == "hand"]
        self.world.pass_time((LEASE + 1) * SECOND)
        self.a_sweeper_brings_on()
        self.a_worker_takes(data)
        for held in stood_still:
            self._goes_on(held, data.draw(FATES))

    def _goes_on(self, held: Held, fate: Fate) -> None:
        if fate.what == "park" and (held.kind != "media" or held.cause is not None):
            fate = fate._replace(what="end")
        if fate.is_cancelled and held.id in self.known:
            self._cancel(held.id)
        if fate.what == "die":
            return
        is_its = self.known.get(held.id) is not None and (self.known[held.id].run, self.known[held.id].place) == (
            held.run,
            "hand",
        )
        before = self.known[held.id].place if held.id in self.known else ""
        said = getattr(self, f"_{fate.what}s")(held, fate, is_its)
        if not is_its:
            assert said in ("lost", before), "nothing was done, since the run has the check no more"
        elif fate.twice:
            again = self.known[held.id]
            assert getattr(self, f"_{fate.what}s")(held, fate, False) in (again.place, said)

    def _queue(self, held: Held) -> str:
        return "push" if held.check.get("trace") else held.kind

    def _settled(self, held: Held, *, answered: bool) -> Settled | None:
        if held.permit is None:
            return None
        return Settled(held.permit, answered)

    def _give_backs(self, held: Held, fate: Fate, is_its: bool) -> str:
        at = fate.seconds
        until = None if at is None else self.world.wall / SECOND + at
        said = self.places.give_back(held, self._settled(held, answered=False) if is_its else None, at=until)
        if is_its:
            check = self.known[held.id]
            if check.cancelled and check.ended is None:
                check.ended = "cancelled"
            check.place = "ready" if check.ended is not None else "lane" if at is None else "shelf"
            assert said == check.place
        return said

    def _parks(self, held: Held, fate: Fate, is_its: bool) -> str:
        name = f"trace-{fate.trace}"
        wait = fate.seconds or 1800.0
        of = [one for one in self.known.values() if (one.appid, one.trace) == (held.appid, name)]
        said = self.places.park(held, name, wait, self._settled(held, answered=True) if is_its else None)
        if is_its:
            check = self.known[held.id]
            if of and of != [check]:
                assert said == "traced"
                return said
            check.trace = name
            if (check.appid, name) in self.early:
                del self.early[check.appid, name]
                check.ended = "done"
            elif check.cancelled:
                check.ended = "cancelled"
            check.place = "parked" if check.ended is None else "ready"
            assert said == check.place
        return said

    def _ends(self, held: Held, fate: Fate, is_its: bool) -> str:
        how = "failed"
        if held.id in self.known:
            how = "done" if self.known[held.id].ended == "done" else "failed"
        is_apart = is_published_elsewhere(held.id)
        messages = [] if is_apart else [(FOLLOW_UPS, held.id)]
        ended = Ended(how, messages=messages, outbox=held.id if is_apart else "")
        said = self.places.finish(held, ended, self._settled(held, answered=True) if is_its else None)
        if is_its:
            assert said == "ended"
            check = self.known[held.id]
            check.place, check.ended, check.since = "ended", how, self.world.wall
            check.times_ended += 1
            if is_apart and fate.seconds is None:
                # the run relays it itself; any other run dies before
                self.client.lpush(FOLLOW_UPS, held.id)
                self.places.advance(held.entry)
        return said

    def time_passes(self, data: st.DataObject) -> None:
        self.world.pass_time(data.draw(st.sampled_from([0.01, 1.0, 5.0, 30.0, LEASE, 700.0, 4000.0])) * SECOND)
        match data.draw(st.sampled_from(["nobody", "a sweeper", "two"])):
            case "a sweeper":
                self.a_sweeper_brings_on()
            case "two":
                self.store.before["bring"] = lambda: self._comes_first(data)
                self.places.bring_on()
                self.store.before.clear()
                self._follow()

    def _comes_first(self, data: st.DataObject) -> None:
        """Between the look of a sweeper and its step, another one brings all on, and a worker takes."""
        self.a_sweeper_brings_on()
        self.a_worker_takes(data)

    def a_sweeper_brings_on(self) -> None:
        for _ in range(2):  # what comes back from a hand and is stale by then goes on in the next round
            self.places.bring_on()
        self._follow()
        while claimed := self.places.relay():
            for entry, text in claimed:
                self.client.lpush(FOLLOW_UPS, text)
                self.places.advance(entry)
        for name in ("shelf", "parked", "hand", "stale", "ended", "early_due", "outbox_due"):
            assert self.client.zcount(SHARD.key(name), "-inf", self.world.wall // 1000) == 0, name

    # the model follows what time alone has moved

    def _follow(self) -> None:
        for task_id, check in list(self.known.items()):
            place = self._kept(task_id)
            if place == check.place:
                continue
            was, check.place = check.place, place
            match (was, place):
                case ("shelf", "lane"):
                    pass
                case ("parked", "ready"):
                    check.ended = "timeout"
                case ("lane" | "shelf", "ready"):
                    assert check.extra["due"] <= self.world.wall / SECOND
                    check.ended = "stale"
                case ("hand", "ready") if check.ended is None and not check.cancelled:
                    assert check.extra["due"] <= self.world.wall / SECOND
                    check.ended = "stale"
                case ("hand", "lane" | "ready"):
                    check.ended = check.ended or ("cancelled" if check.cancelled else None)
                    assert (place == "ready") == (check.ended is not None)
                case ("ended", ""):
                    assert self.world.wall - check.since >= KEEP_ENDED * SECOND
                    del self.known[task_id]
                case _:
                    pytest.fail(f"time alone moved {task_id} from {was} to {place}")
        for name, since in list(self.early.items()):
            if not self.client.hexists(SHARD.key("early"), ":".join(name)):
                assert self.world.wall - since >= KEEP_EARLY * SECOND
                del self.early[name]

    def _kept(self, task_id: str) -> str:
        found = self.places.show(task_id)
        return "" if found is None else str(found["place"])

    # what always holds

    @invariant()
    def each_check_is_in_the_one_place_that_it_names(self) -> None:
        places = self._places()
        assert places == {task_id: [check.place] for task_id, check in self.known.items()}

    @invariant()
    def a_message_is_kept_until_its_check_has_ended(self) -> None:
        waiting = {task_id for task_id, check in self.known.items() if check.place != "ended"}
        assert set(self.client.hkeys(SHARD.key("messages"))) == waiting
        assert set(self.client.hkeys(SHARD.key("checks"))) == set(self.known)

    @invariant()
    def a_lane_is_open_while_checks_wait_in_it(self) -> None:
        for kind in KINDS:
            with_checks = {check.appid for check in self.known.values() if (check.kind, check.place) == (kind, "lane")}
            assert set(self.client.zrange(SHARD.key(f"open:{kind}"), 0, -1)) == with_checks

    @invariant()
    def a_trace_belongs_to_one_check(self) -> None:
        traced = {f"{check.appid}:{check.trace}": task_id for task_id, check in self.known.items() if check.trace}
        assert self.client.hgetall(SHARD.key("traces")) == traced
        early = {":".join(name) for name in self.early}
        assert set(self.client.hkeys(SHARD.key("early"))) == early
        assert set(self.client.zrange(SHARD.key("early_due"), 0, -1)) == early

    @invariant()
    def what_can_grow_stale_is_on_its_way_to_a_call(self) -> None:
        listed = set(self.client.zrange(SHARD.key("stale"), 0, -1))
        with_a_bound = {task_id for task_id, check in self.known.items() if check.extra.get("due")}
        places = {
            place: {one for one in with_a_bound if self.known[one].place == place}
            for place in ("lane", "shelf", "hand")
        }
        assert places["lane"] | places["shelf"] <= listed <= set.union(*places.values())

    @invariant()
    def a_check_ends_once(self) -> None:
        followed = self.client.lrange(FOLLOW_UPS, 0, -1)
        followed += [str(entry).partition(":")[0] for entry in self.client.hkeys(SHARD.key("outbox"))]
        for task_id, check in self.known.items():
            assert followed.count(task_id) == check.times_ended

    @invariant()
    def no_key_is_forgotten(self) -> None:
        own = set(SHARD.own()) | {"test:redis", FOLLOW_UPS, COUNTERS}
        own |= {key for kind, appid in itertools.product(KINDS, APPIDS) for key in SHARD.of_lane(kind, appid)}
        assert set(self.client.keys()) <= own

    def _places(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        sets = [(name, SHARD.key(name)) for name in ("hand", "shelf", "parked", "ended")]
        sets += [("ready", SHARD.key(name)) for name in OWN if name.startswith("ready:")]
        sets += [("lane", SHARD.of_lane(kind, appid)[0]) for kind, appid in itertools.product(KINDS, APPIDS)]
        for place, key in sets:
            for task_id in cast("list[str]", self.client.zrange(key, 0, -1)):
                found.setdefault(task_id, []).append(place)
        return found

    def nothing_is_lost(self) -> None:
        """Whatever happened, a worker that goes on ends all checks."""
        limits = [LaneLimits(kind, appid, 60_000, 100_000, 0, 1) for kind in KINDS for appid in APPIDS]
        for _ in range(200):
            if all(check.place == "ended" for check in self.known.values()):
                break
            self.a_sweeper_brings_on()
            take = self.places.take({"text": 8, "media": 8, "push": 8}, limits)
            for held in take.held:
                check = self.known[held.id]
                check.place, check.run = "hand", held.run
                assert self.places.finish(held, Ended("done"), self._settled(held, answered=True)) == "ended"
                check.place, check.ended, check.since = "ended", "done", self.world.wall
            self.world.pass_time(20 * SECOND)
        else:
            pytest.fail(f"not ended: {[one for one in self.known.items() if one[1].place != 'ended']}; {take}")
        self.each_check_is_in_the_one_place_that_it_names()
        self.world.pass_time(RELAY_LEASE * SECOND)
        self.a_sweeper_brings_on()
        assert self.client.exists(SHARD.key("outbox"), SHARD.key("outbox_due")) == 0


def test_a_check_is_in_one_place_and_ends_once(server: redis.Redis) -> None:
    ChecksMove.client = server
    run_state_machine_as_test(
        ChecksMove,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            derandomize=EXAMPLES < MANY,
            suppress_health_check=list(HealthCheck),
            database=None,
            # finding the least example takes minutes
            phases=list(Phase) if EXAMPLES >= MANY else [Phase.generate],
            deadline=None,
            print_blob=False,
        ),
    )
