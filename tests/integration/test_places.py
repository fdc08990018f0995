"""Each move of a check from place to place, as the scripts do it.

Tests: store.places.places, store.places.forms, store.places.shard
Redis' clock is the test's. ``test_places_model.py`` tries the moves in any order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, cast

import pytest
import redis.exceptions

from store.keys import COUNTERS, DEAD, DEAD_BYTES, DEAD_LETTERS
from store.places.forms import KEEP_ENDED, Ended, Held, LaneLimits, Result
from store.places.places import BATCH, KEEP_EARLY, RELAY_LEASE
from tests.support.places_world import KINDS, LEASE, PlacesWorld, picture, settled, text
from tests.support.quota_world import INBOX, SECOND, SHARD


@pytest.fixture
def store_with_tokens(server: redis.Redis) -> Iterator[PlacesWorld]:
    found = PlacesWorld(server, token_lease=15.0)
    yield found
    found.close()


# from the inbox to a lane


def test_a_lane_gives_its_checks_by_priority_and_then_in_their_order(store: PlacesWorld) -> None:
    store.file(text("a"), text("low", priority=9), text("b"), text("high", priority=0), text("c"))
    store.later(1)
    assert [held.id for held in store.take().held] == ["high", "a", "b", "c", "low"]


def test_a_check_comes_with_its_message_its_permit_and_its_run(store: PlacesWorld) -> None:
    (held,) = store.held(text("a"))
    assert (held.id, held.text, held.kind, held.appid, held.cause) == ("a", "message of a", "text", "wx1", None)
    assert held.permit is not None
    assert held.permit.send_at >= store.world.now / SECOND
    assert store.place("a") == "hand"


def test_what_is_known_to_fail_goes_to_a_run_without_a_permit_of_any_lane(store: PlacesWorld) -> None:
    """Its appId may be none of ours, or missing."""
    refused = text("a", appid="", cause={"ended": "refused", "said": "no such appid"})
    assert store.file(refused) == ["filed"]
    (held,) = store.take(8, "wx1").held
    assert (held.permit, held.cause) == (None, {"ended": "refused", "said": "no such appid"})


def test_a_message_that_is_here_already_is_filed_once_and_leaves_the_inbox(store: PlacesWorld) -> None:
    tags = ["tag-1", "tag-2", "tag-3"]
    store.redis.hset(INBOX[0], mapping=dict.fromkeys(tags, "message"))
    store.redis.zadd(INBOX[1], dict.fromkeys(tags, 1.0))
    assert store.places.file([text("a"), text("a")], tags[:2]) == ["filed", "repeated"]
    assert store.waiting() == ["a"]
    assert (store.redis.hkeys(INBOX[0]), store.redis.zrange(INBOX[1], 0, -1)) == (["tag-3"], ["tag-3"])
    store.places.push([("wx1", "trace", "{}")], tags[2:])
    assert (store.redis.exists(*INBOX), store.redis.hlen(SHARD.key("early"))) == (0, 1)


def test_another_check_under_the_id_of_one_that_waits_is_told_apart(store: PlacesWorld) -> None:
    store.file(text("a"))
    assert store.file(text("a")._replace(digest="another.", text="another")) == ["taken"]
    (held,) = store.take().held
    assert held.text == "message of a"


def test_a_run_tells_who_waits_for_a_check_that_its_id_is_taken(store: PlacesWorld) -> None:
    tags = ["tag-1", "tag-2"]
    store.redis.hset(INBOX[0], mapping=dict.fromkeys(tags, "message"))
    another = text("a")._replace(digest="another.", text="another", spare="a~1", at=store.now + 60)
    assert store.places.file([text("a"), another], tags) == ["filed", "taken"]
    assert not store.redis.exists(INBOX[0])
    told, held = store.take().held
    assert (told.id, told.text, told.cause, told.permit) == ("a~1", "another", {"ended": "taken"}, None)
    assert (held.id, held.text, held.cause) == ("a", "message of a", None)


def test_a_message_that_only_a_later_version_understands_stays_in_the_inbox(store: PlacesWorld) -> None:
    store.redis.hset(SHARD.key("checks"), "a", json.dumps({"v": 2, "place": "lane"}))
    store.redis.hset(INBOX[0], mapping=dict.fromkeys(["tag-1", "tag-2"], "message"))
    assert store.places.file([text("a"), text("b")], ["tag-1", "tag-2"]) == ["newer", "filed"]
    assert store.redis.hkeys(INBOX[0]) == ["tag-1"]


def test_another_check_under_the_id_of_an_ended_one_is_new(store: PlacesWorld) -> None:
    (held,) = store.held(text("a"))
    store.places.finish(held, Ended("done"))
    another = text("a")._replace(digest="another.")
    assert store.file(another) == ["filed"]
    (held,) = store.take().held
    store.places.finish(held, Ended("done"))
    assert store.file(another, text("a")) == ["repeated", "repeated"], "each of them has ended under this id"


def test_a_replay_runs_an_ended_check_again(store: PlacesWorld) -> None:
    (held,) = store.held(text("a"))
    store.places.finish(held, Ended("failed", letter="{}"))
    assert store.file(text("a")) == ["repeated"]
    assert store.file(text("a", is_replay=True)) == ["filed"]
    assert store.file(text("a", is_replay=True)) == ["gone"]
    assert [held.id for held in store.take().held] == ["a"]


def test_the_mark_of_an_ended_check_goes_after_its_time(store: PlacesWorld) -> None:
    (held,) = store.held(text("a"))
    store.places.finish(held, Ended("done"))
    store.later(KEEP_ENDED - 1)
    assert store.places.bring_on() == {}
    store.later(2)
    assert store.places.bring_on() == {"ended": 1}
    assert store.place("a") == ""
    assert store.file(text("a")) == ["filed"]


def test_a_check_in_a_later_format_stays_as_it_is(store: PlacesWorld) -> None:
    store.file(text("a"), text("b"))
    later = {**(store.places.show("a") or {}), "v": 2, "news": True}
    store.redis.hset(SHARD.key("checks"), "a", json.dumps(later))
    assert store.file(text("a")) == ["newer"]
    assert store.places.cancel(["a"]) == ["newer"]
    store.later(1)
    assert [held.id for held in store.take().held] == ["b"], "what stands behind it goes on"
    take = store.take()
    assert (take.held, take.more, take.seconds) == ([], [], 1.0)
    assert store.places.show("a") == later
    assert store.waiting() == ["a"]


# lanes open and close


def test_a_worker_is_told_of_open_lanes_that_it_gave_no_limits_for(store: PlacesWorld) -> None:
    store.file(text("a", appid="wx1"), text("b", appid="wx2"))
    store.later(1)
    first = store.take(8, "wx3")
    assert (first.held, sorted(first.unknown)) == ([], [("text", "wx1"), ("text", "wx2")])
    second = store.take(8, *[appid for _, appid in first.unknown])
    assert sorted(held.id for held in second.held) == ["a", "b"]
    assert (second.unknown, second.seconds) == ([], None)


def test_a_lane_with_the_day_used_up_costs_no_look_until_midnight(store: PlacesWorld) -> None:
    store.file(*[text(f"check-{number}") for number in range(3)])
    store.later(1)
    take = store.take(per_day=2)
    assert len(take.held) == 2
    assert [(reply.verb, reply.told[5]) for reply in take.lanes] == [("wait", "day")]
    assert take.seconds == pytest.approx(12 * 3600, abs=2)
    store.later(3600)
    assert store.take(per_day=2).lanes == [], "the lane was not even looked at"
    store.later(11 * 3600)
    assert [held.id for held in store.take(per_day=2).held] == ["check-2"]


def test_the_reserve_of_the_day_is_for_checks_that_come_later_with_a_higher_priority(store: PlacesWorld) -> None:
    store.file(*[text(f"low-{number}", priority=9) for number in range(3)])
    store.later(1)
    assert [held.id for held in store.take(per_day=4, reserve=2).held] == ["low-0", "low-1"]
    assert store.take(per_day=4, reserve=2).seconds == pytest.approx(12 * 3600, abs=2)
    store.file(text("post"))
    assert [held.id for held in store.take(per_day=4, reserve=2).held] == ["post"]
    assert store.waiting() == ["low-2"]


def test_a_rate_that_is_used_up_is_looked_at_again_within_a_second(store: PlacesWorld) -> None:
    store.file(*[text(f"check-{number}") for number in range(3)])
    store.later(1)
    assert len(store.take(per_minute=2).held) == 1
    take = store.take(per_minute=2)
    assert take.held == []
    assert 0 < (take.seconds or 0) <= 1.001


def test_lanes_with_a_backlog_get_the_same_share(store: PlacesWorld) -> None:
    appids = [f"wx{number}" for number in range(6)]
    taken = dict.fromkeys(appids, 0)
    for number in range(40):
        store.file(*[text(f"{appid}-{number}", appid=appid) for appid in appids])
    for _ in range(120):
        store.later(0.5)
        for held in store.take(3, *appids, per_minute=30).held:
            taken[held.appid] += 1
            store.places.finish(held, Ended("done"), settled(held))
    assert min(taken.values()) >= 28
    assert max(taken.values()) <= 31


def test_the_checks_of_an_appid_that_the_platform_refuses_go_to_runs_that_fail_them(store: PlacesWorld) -> None:
    store.file(text("a"), text("b"))
    store.later(1)
    refusal = '[48001, "unauthorized", "rid"]'
    quota = SHARD.of_lane("text", "wx1")[1]
    store.redis.hset(quota, mapping={"stopped": store.world.wall + 10 * SECOND, "refusal": refusal})
    assert [(held.id, held.permit, held.refusal) for held in store.take().held] == [
        ("a", None, refusal),
        ("b", None, refusal),
    ]


def test_one_run_finds_out_whether_calls_of_a_lane_without_state_were_sent_lately(store: PlacesWorld) -> None:
    store.redis.delete(SHARD.key("known"))
    store.file(text("a"), text("b"))
    store.later(1)
    take = store.take()
    assert [(reply.verb, reply.told) for reply in take.lanes] == [("absent", [])]
    (held,) = take.held
    assert (held.id, held.is_first, held.permit) == ("a", True, None)
    assert store.take().held == [], "the others wait"
    store.places.give_back(held)
    assert [held.id for held in store.take(fresh=0).held] == ["a", "b"], "the caller knows that nothing was sent"


def test_a_lane_pauses_if_calls_may_have_been_sent_before_its_state_was_lost(store: PlacesWorld) -> None:
    store.redis.delete(SHARD.key("known"))
    store.file(text("a"))
    store.later(1)
    store.places.give_back(store.take().held[0])
    take = store.take(fresh=71 * SECOND)
    assert ([reply.told[5] for reply in take.lanes], take.held) == (["pause"], [])
    assert take.seconds == pytest.approx(71, abs=0.1)
    store.later(72)
    assert [held.id for held in store.take().held] == ["a"]


def test_a_caller_that_knows_another_state_is_told_so_and_asks_again(store: PlacesWorld) -> None:
    (held,) = store.held(text("a"))
    store.places.give_back(held)
    take = store.take(epoch=1)
    assert ([reply.verb for reply in take.lanes], take.held, take.more) == (["again"], [], ["text"])
    assert [held.id for held in store.take(epoch=take.lanes[0].told[2]).held] == ["a"]


def test_the_worker_comes_again_at_once_if_its_room_was_too_small(store: PlacesWorld) -> None:
    store.file(text("a"), text("b"))
    store.later(1)
    take = store.take(1)
    assert ([held.id for held in take.held], take.more) == (["a"], ["text"])
    take = store.take(1)
    assert ([held.id for held in take.held], take.more, take.seconds) == (["b"], [], None)


def test_a_lane_that_pauses_opens_at_once_for_who_knows_that_nothing_was_sent(store: PlacesWorld) -> None:
    store.file(text("a"))
    assert store.take(fresh=60 * SECOND).held == [], "its caller could not tell"
    assert [held.id for held in store.take(fresh=0).held] == ["a"]


# access tokens


def test_one_run_renews_the_token_and_gives_its_check_back_to_its_place(store_with_tokens: PlacesWorld) -> None:
    store = store_with_tokens
    store.file(text("a"), text("b"))
    store.later(1)
    first = store.take()
    assert [(held.id, held.permit, held.renew) for held in first.held] == [("a", None, (1, ""))]
    assert store.take().held == [], "the others wait for the token"
    token = SHARD.of_lane("text", "wx1")[4]
    in_an_hour = store.now + 3600
    store.redis.hset(token, mapping={"value": "TOKEN", "expires_at": in_an_hour, "refresh_at": in_an_hour - 300})
    assert store.places.give_back(first.held[0]) == "lane"
    store.later(0.1)
    taken = store.take().held
    assert [(held.id, held.token, held.permit is not None) for held in taken] == [
        ("a", "TOKEN", True),
        ("b", "TOKEN", True),
    ]


def test_a_lane_whose_token_was_renewed_comes_before_those_that_have_been_open_for_longer(
    store_with_tokens: PlacesWorld,
) -> None:
    store = store_with_tokens
    appids = [f"wx{number}" for number in range(9)]
    renewing = store.held(text("a", "wx0"))
    for appid in appids[1:]:
        store.file(text(f"of {appid}", appid))
    store.later(1)
    in_an_hour = store.now + 3600
    for appid in appids:
        token = SHARD.of_lane("text", appid)[4]
        store.redis.hset(token, mapping={"value": "TOKEN", "expires_at": in_an_hour, "refresh_at": in_an_hour})
    assert store.places.give_back(renewing[0]) == "lane"
    assert [held.id for held in store.take(1, *appids).held] == ["a"]


def test_a_token_that_grows_old_is_renewed_by_one_run_while_the_others_use_it(store_with_tokens: PlacesWorld) -> None:
    store = store_with_tokens
    store.file(text("a"), text("b"))
    store.later(1)
    token = SHARD.of_lane("text", "wx1")[4]
    store.redis.hset(token, mapping={"value": "OLD", "expires_at": store.now + 200, "refresh_at": store.now - 1})
    taken = store.take().held
    assert [(held.id, held.token, held.renew) for held in taken] == [("a", None, (1, "OLD")), ("b", "OLD", None)]


def test_no_permit_is_spent_where_there_is_no_token(store_with_tokens: PlacesWorld) -> None:
    store = store_with_tokens
    store.file(text("a"), text("b"))
    store.later(1)
    store.take()
    assert int(store.redis.hget(SHARD.of_lane("text", "wx1")[1], "used") or 0) == 0


# in hand, and back


def test_a_check_that_is_given_back_stands_at_its_old_place(store: PlacesWorld) -> None:
    store.file(text("a"), text("b"), text("c"))
    store.later(1)
    a, b, _ = store.take().held
    assert store.places.give_back(b) == "lane"
    store.file(text("d"))
    assert store.places.give_back(a) == "lane"
    assert store.waiting() == ["a", "b", "d"]


def test_a_permit_that_was_not_used_is_free_again(store: PlacesWorld) -> None:
    for used in (False, True):
        (held,) = store.held(text(f"used-{used}"))
        store.places.give_back(held, settled(held, was_sent=used), at=store.now + 900)
        store.later(1)
    store.held(text("another"))
    assert store.redis.hget(SHARD.of_lane("text", "wx1")[1], "used") == "2"


def test_a_check_on_the_shelf_comes_back_at_its_time_with_its_new_message(store: PlacesWorld) -> None:
    (held,) = store.held(text("a"))
    assert store.places.give_back(held, at=store.now + 5, text="second try") == "shelf"
    store.later(4)
    assert store.places.bring_on() == {}
    store.later(2)
    assert store.places.bring_on() == {"shelf": 1}
    assert [held.text for held in store.take().held] == ["second try"]


def test_the_check_of_a_dead_worker_comes_back_when_its_lease_is_over(store: PlacesWorld) -> None:
    (held,) = store.held(text("a"))
    store.later(store.places.lease)
    assert store.places.bring_on() == {"hand": 1}
    (again,) = store.take().held
    assert (again.id, again.check["returns"]) == ("a", 1)
    # the first run woke up too late
    assert store.places.finish(held, Ended("done", messages=[("app", "published")])) == "lost"
    assert store.places.give_back(held) == "lost"
    assert store.places.park(held, "trace", 60) == "lost"
    assert store.redis.llen("app") == 0
    assert store.place("a") == "hand"


def test_two_sweepers_bring_a_check_on_once(store: PlacesWorld) -> None:
    """Between the look of one and its step the other has moved the check, and a worker has shelved it again."""
    (held,) = store.held(text("a"))
    store.places.give_back(held, at=store.now + 5)
    store.later(6)

    def another() -> None:
        assert store.places.bring_on() == {"shelf": 1}
        (again,) = store.take().held
        store.places.give_back(again, at=store.now + 60)

    store.before["bring"] = another
    assert store.places.bring_on() == {}
    assert store.place("a") == "shelf"


def test_many_are_brought_on_in_steps_of_a_bounded_size(store: PlacesWorld) -> None:
    for start in (0, BATCH):
        store.file(*[text(f"check-{start + number}", at=store.now + 1) for number in range(BATCH)])
    store.later(2)
    assert [store.places.bring_on(), store.places.bring_on(), store.places.bring_on()] == [
        {"shelf": BATCH},
        {"shelf": BATCH},
        {},
    ]


def test_a_check_that_no_script_can_bring_on_holds_up_no_other(store: PlacesWorld) -> None:
    store.file(text("damaged", at=store.now + 1), text("nowhere", at=store.now + 1), text("a", at=store.now + 2))
    store.redis.hset(SHARD.key("checks"), "damaged", "no check")
    store.redis.hset(SHARD.key("checks"), "nowhere", json.dumps({"v": 1, "place": "shelf", "kind": "text"}))
    store.later(3)
    assert store.places.bring_on() == {"shelf": 1}
    assert [held.id for held in store.take().held] == ["a"]
    assert store.places.bring_on() == {}
    assert store.redis.zcount(SHARD.key("shelf"), "-inf", store.now * 1000) == 0, "they are put off"
    assert store.redis.zcard(SHARD.key("shelf")) == 2


def test_a_damaged_check_holds_up_no_other_in_its_lane(store: PlacesWorld) -> None:
    store.file(text("damaged"), text("a"))
    store.redis.hset(SHARD.key("checks"), "damaged", "no check")
    store.later(1)
    assert [held.id for held in store.take().held] == ["a"]


# parked


def test_parking_may_be_said_again_when_its_answer_was_lost(store: PlacesWorld) -> None:
    (held,) = store.held(picture("a"))
    assert [store.places.park(held, "trace", 60), store.places.park(held, "trace", 60)] == ["parked", "parked"]
    assert [pushed.what for pushed in store.places.push([("wx1", "trace", "{}")])] == ["matched"]


def test_a_push_ends_the_wait_of_its_check(store: PlacesWorld) -> None:
    (held,) = store.held(picture("a"))
    assert store.places.park(held, "trace", 1800, settled(held)) == "parked"
    store.later(3)
    push = '{"trace_id": "trace", "detail": [], "name": "\\u597d"}'
    (pushed,) = store.places.push([("wx1", "trace", push)])
    assert (pushed.what, pushed.id) == ("matched", "a")
    assert pushed.seconds == pytest.approx(3, abs=0.01)
    (again,) = store.take().held
    assert again.cause == {"ended": "done", "push": push}, "byte for byte"
    assert again.permit is None
    assert store.places.finish(again, Ended("done")) == "ended"
    assert [pushed.what for pushed in store.places.push([("wx1", "trace", push)])] == ["repeated"]


def test_a_push_that_comes_first_waits_for_its_check(store: PlacesWorld) -> None:
    (held,) = store.held(picture("a"))
    assert [pushed.what for pushed in store.places.push([("wx1", "trace", "{}")])] == ["early"]
    assert store.places.park(held, "trace", 1800) == "ready"
    assert [held.cause for held in store.take().held] == [{"ended": "done", "push": "{}"}]
    assert store.redis.exists(SHARD.key("early"), SHARD.key("early_due")) == 0


def test_a_push_that_is_nobodys_goes_after_a_while(store: PlacesWorld) -> None:
    store.places.push([("wx1", "trace", "{}")])
    store.later(KEEP_EARLY + 1)
    assert store.places.bring_on() == {"early_due": 1}
    assert [pushed.what for pushed in store.places.push([("wx1", "trace", "{}")])] == ["early"]


def test_a_push_of_another_appid_is_another_push(store: PlacesWorld) -> None:
    (held,) = store.held(picture("a"))
    store.places.park(held, "trace", 1800)
    assert [pushed.what for pushed in store.places.push([("wx2", "trace", "{}")])] == ["early"]
    assert store.place("a") == "parked"


def test_a_push_after_the_timeout_ends_the_check_until_a_run_tells_of_the_timeout(store: PlacesWorld) -> None:
    (held,) = store.held(picture("a"))
    store.places.park(held, "trace", 5)
    store.later(6)
    assert store.places.bring_on() == {"parked": 1}
    assert [pushed.what for pushed in store.places.push([("wx1", "trace", "{}")])] == ["matched"]
    assert [pushed.what for pushed in store.places.push([("wx1", "trace", "{}")])] == ["repeated"]
    (again,) = store.take().held
    assert again.cause == {"ended": "done", "push": "{}"}


def test_a_push_of_a_check_that_was_cancelled_is_orphaned(store: PlacesWorld) -> None:
    (held,) = store.held(picture("a"))
    store.places.park(held, "trace", 5)
    assert store.places.cancel(["a"]) == ["parked"]
    assert [pushed.what for pushed in store.places.push([("wx1", "trace", "{}")])] == ["orphaned"]
    (again,) = store.take().held
    store.places.finish(again, Ended("cancelled"))
    assert [pushed.what for pushed in store.places.push([("wx1", "trace", "{}")])] == ["orphaned"]


def test_a_push_that_comes_again_is_repeated_though_its_check_has_failed(store: PlacesWorld) -> None:
    (held,) = store.held(picture("a"))
    store.places.park(held, "trace", 5)
    store.places.push([("wx1", "trace", "{}")])
    (again,) = store.take().held
    store.places.finish(again, Ended("failed"))
    assert [pushed.what for pushed in store.places.push([("wx1", "trace", "{}")])] == ["repeated"]


def test_a_push_after_a_run_has_told_of_the_timeout_is_late(store: PlacesWorld) -> None:
    (held,) = store.held(picture("a"))
    store.places.park(held, "trace", 5)
    store.later(6)
    assert store.places.bring_on() == {"parked": 1}
    (again,) = store.take().held
    assert again.cause == {"ended": "timeout"}
    assert [pushed.what for pushed in store.places.push([("wx1", "trace", "{}")])] == ["late"]
    store.places.finish(again, Ended("timeout"))
    assert [pushed.what for pushed in store.places.push([("wx1", "trace", "{}")])] == ["late"]
    store.later(KEEP_ENDED + 1)
    assert store.places.bring_on() == {"ended": 1}
    assert store.redis.exists(SHARD.key("traces")) == 0, "with the mark its trace_id is forgotten"


def test_pushes_are_finished_before_cancels_and_those_before_timeouts(store: PlacesWorld) -> None:
    store.file(*[picture(name) for name in ("timed out", "cancelled", "pushed")])
    store.later(1)
    for held in store.take().held:
        store.places.park(held, held.id, (1 if held.id == "timed out" else 60))
    store.later(2)
    store.places.bring_on()
    store.places.cancel(["cancelled"])
    store.places.push([("wx1", "pushed", "{}")])
    assert [held.id for held in store.take().held] == ["pushed", "cancelled", "timed out"]


def test_one_trace_id_is_parked_once(store: PlacesWorld) -> None:
    store.file(picture("a"), picture("b"))
    store.later(1)
    a, b = store.take().held
    assert store.places.park(a, "trace", 60) == "parked"
    assert store.places.park(b, "trace", 60) == "traced"
    assert store.place("b") == "hand", "its run deals with it"


def test_the_result_that_shows_a_check_waiting_is_stored_with_the_parking(store: PlacesWorld) -> None:
    (held,) = store.held(picture("a"))
    store.places.park(held, "trace", 60, shown=Result("result", '{"status": "WAITING"}', 100))
    assert (store.redis.get("result"), store.redis.ttl("result")) == ('{"status": "WAITING"}', 100)


def test_what_becomes_of_pushes_and_their_checks_is_counted_once(store: PlacesWorld) -> None:
    names = ("pushed", "early", "timed out", "cancelled")
    store.file(*[picture(name) for name in names])
    store.later(1)
    store.places.push([("wx1", "early", "{}"), ("wx1", "stranger", "{}")])
    for held in store.take().held:
        store.places.park(held, held.id, 5 if held.id == "timed out" else 60)
    store.places.push([("wx1", "pushed", "{}")])
    store.places.cancel(["cancelled"])
    store.later(6)
    store.places.bring_on()
    hows = {"timed out": "timeout", "cancelled": "cancelled"}
    for held in store.take().held:
        for _ in range(2):
            store.places.finish(held, Ended(hows.get(held.id, "done")))
    store.places.push([("wx1", name, "{}") for name in names])
    store.later(KEEP_EARLY)
    store.places.bring_on()
    assert store.redis.hgetall(COUNTERS) == {
        "push_matched": "1",
        "push_early": "1",
        "push_missing": "1",
        "push_repeated": "2",
        "push_late": "1",
        # of the cancelled check, and the stranger's
        "push_orphaned": "2",
        "media_done": "2",
        "media_timeout": "1",
        "media_cancelled": "1",
    }


# cancelled, or grown stale


@pytest.mark.parametrize("place", ["lane", "shelf", "parked"])
def test_a_check_is_cancelled_wherever_it_waits(store: PlacesWorld, place: str) -> None:
    if place == "parked":
        (held,) = store.held(picture("a"))
        store.places.park(held, "trace", 1800)
    else:
        store.file(text("a", at=store.now + 60 if place == "shelf" else None))
    assert store.places.cancel(["a"]) == [place]
    (held,) = store.take().held
    assert (held.id, held.cause, held.permit) == ("a", {"ended": "cancelled"}, None)
    assert store.take().seconds is None, "its lane is empty, and not open"


@pytest.mark.parametrize("move", ["give back", "shelve", "park", "die"])
def test_a_check_that_is_cancelled_in_hand_ends_when_its_run_lets_it_go(store: PlacesWorld, move: str) -> None:
    (held,) = store.held(picture("a"))
    assert store.places.cancel(["a"]) == ["hand"]
    match move:
        case "give back":
            store.places.give_back(held)
        case "shelve":
            store.places.give_back(held, at=store.now + 60)
        case "park":
            store.places.park(held, "trace", 60)
        case "die":
            store.later(store.places.lease + 1)
            store.places.bring_on()
    assert [held.cause for held in store.take().held] == [{"ended": "cancelled"}]


def test_a_check_with_its_verdict_is_not_cancelled(store: PlacesWorld) -> None:
    (held,) = store.held(text("a"))
    store.places.cancel(["a"])
    assert store.places.finish(held, Ended("done")) == "ended"
    assert store.places.cancel(["a"]) == ["ended"]
    assert store.places.cancel(["unknown"]) == [""]


@pytest.mark.parametrize(("why", "at"), [("stale", None), ("expired", None), ("stale", 3600.0)])
def test_a_check_that_waits_for_too_long_goes_to_a_run_that_fails_it(
    store: PlacesWorld, why: str, at: float | None
) -> None:
    store.file(text("a", due=store.now + 30, why=why, at=None if at is None else store.now + at))
    store.take(per_day=0)
    store.later(31)
    assert store.places.bring_on() == {"stale": 1}
    assert [held.cause for held in store.take(per_day=0).held] == [{"ended": why}]


def test_a_check_in_hand_is_not_stale_before_it_is_given_back(store: PlacesWorld) -> None:
    (held,) = store.held(text("a", due=store.now + 5, why="stale"))
    store.later(6)
    assert store.places.bring_on() == {}
    store.places.give_back(held)
    assert store.places.bring_on() == {"stale": 1}
    assert store.place("a") == "ready"


def test_what_the_platform_has_taken_is_not_stale_any_more(store: PlacesWorld) -> None:
    (held,) = store.held(picture("a", due=store.now + 5, why="stale"))
    store.places.park(held, "trace", 1800)
    store.later(6)
    assert store.places.bring_on() == {}
    assert store.place("a") == "parked"


# the end


def test_result_and_follow_ups_and_the_mark_are_one_step(store: PlacesWorld) -> None:
    (held,) = store.held(text("a"))
    ended = Ended(
        "done",
        [Result("result", '{"status": "SUCCESS"}', 100), Result("another", "{}", 0)],
        [("app", "first"), ("app", "second"), ("errors", "third")],
    )
    assert store.places.finish(held, ended, settled(held)) == "ended"
    assert store.places.finish(held, ended) == "ended", "once more, since the answer was lost"
    assert store.redis.lrange("app", 0, -1) == ["second", "first"]
    assert store.redis.lrange("errors", 0, -1) == ["third"]
    assert store.redis.get("result") == '{"status": "SUCCESS"}'
    assert (store.redis.get("another"), store.redis.ttl("another")) == ("{}", -1)
    assert store.redis.hlen(SHARD.key("messages")) == 0


def test_an_end_publishes_twenty_thousand_messages_in_their_order(store: PlacesWorld) -> None:
    (held,) = store.held(text("a"))
    many = [("app", str(number)) for number in range(20_000)]
    assert store.places.finish(held, Ended("done", messages=many)) == "ended"
    assert store.redis.lrange("app", 0, -1) == [number for _, number in reversed(many)]


def test_nothing_is_done_if_a_queue_is_something_else(store: PlacesWorld) -> None:
    (held,) = store.held(text("a"))
    store.redis.set("app", "no list")
    ended = Ended("done", [Result("result", "{}", 100)], [("errors", "first"), ("app", "second")], letter="{}")
    with pytest.raises(redis.ResponseError, match="app is a string"):
        store.places.finish(held, ended)
    assert (store.place("a"), store.redis.get("result"), store.redis.llen("errors")) == ("hand", None, 0)
    assert not store.redis.exists(DEAD)


def test_a_failure_that_a_person_can_mend_is_kept_with_the_end(store: PlacesWorld) -> None:
    (held,) = store.held(text("a"))
    assert store.places.finish(held, Ended("failed", letter='{"failure": "PushTimeout"}')) == "ended"
    assert store.redis.hgetall(DEAD_LETTERS) == {"a": '{"failure": "PushTimeout"}'}
    assert store.redis.zrange(DEAD, 0, -1) == ["a"]
    assert store.places.finish(held, Ended("failed", letter="{}")) == "ended", "as it was told before"
    assert store.redis.get(DEAD_BYTES) == str(len('{"failure": "PushTimeout"}'))


# many at once


def test_many_are_cancelled_in_one_step(store: PlacesWorld) -> None:
    ids = [f"check-{number}" for number in range(20)]
    store.file(*[text(task_id, appid=f"wx{number % 5}") for number, task_id in enumerate(ids)])
    before = store.calls
    said = store.places.cancel([*ids, "unknown"], "revoked")
    assert said == ["lane"] * 20 + [""]
    assert store.calls == before + 1
    held = store.take(32).held
    assert [one.cause for one in held] == [{"ended": "revoked"}] * 20


def test_lanes_that_were_closed_are_looked_at_anew(store: PlacesWorld) -> None:
    for number in range(3):
        store.file(text(f"check-{number}", appid=f"wx{number}"))
    appids = [f"wx{number}" for number in range(3)]
    assert store.take(8, *appids, per_day=0).held == []
    assert store.take(8, *appids).held == [], "they open at midnight"
    store.places.reopen()
    assert store.wakes("text") == 1
    assert len(store.take(8, *appids).held) == 3


# a worker without room


def test_a_kind_without_room_is_told_to_have_more_and_not_to_be_asked_for_again(store: PlacesWorld) -> None:
    store.file(text("a"), picture("b"))
    store.later(1)
    limits = [LaneLimits(kind, "wx1", 60_000, 1_000) for kind in KINDS]
    take = store.places.take({"text": 0, "media": 8, "push": 8}, limits)
    assert ([held.id for held in take.held], take.more, take.seconds) == (["b"], ["text"], None)


# a step that an ACL stops

#: every command by which the scripts of the moves write
WRITES = (
    *("hdel", "hincrby", "hset", "incrby", "lpush", "ltrim", "publish", "rpush"),
    *("set", "setrange", "zadd", "zrem"),
)


@pytest.mark.parametrize("command", WRITES)
def test_a_right_that_is_missing_for_a_while_loses_no_check_and_no_count_of_a_permit(
    store: PlacesWorld, command: str
) -> None:
    """Each step is refused in its middle first, and then done again."""

    def again(step: Callable[[], Any]) -> Any:
        # the world tells the scripts the time by a key of its own
        store.redis.execute_command("ACL", "SETUSER", "default", f"-{command}", f"(+{command} ~test:redis)")
        try:
            with suppress(redis.exceptions.NoPermissionError):
                step()
        finally:
            store.redis.execute_command("ACL", "SETUSER", "default", "clearselectors", f"+{command}")
        return step()

    found: dict[str, Held] = {}

    def takes(*ids: str) -> None:
        again(lambda: found.update({held.id: held for held in store.take().held}))
        for kind in KINDS:
            _, quota, ring, *_ = SHARD.of_lane(kind, "wx1")
            counts = cast("str", store.redis.get(ring)).encode()
            assert int(store.redis.hget(quota, "sum") or 0) == sum(counts)
        # what is in nobody's hand comes back as its lease ends, and a lane that was put off opens
        for seconds in (1, LEASE + 60, 1):
            store.later(seconds)
            store.places.bring_on()
            found.update({held.id: held for held in store.take().held})
        assert {found[one].check["place"] for one in ids} == {"hand"}

    for held in store.held(text("before"), picture("before too")):
        store.places.finish(held, Ended("done"), settled(held))
    assert set(again(lambda: store.file(text("a"), text("b"), picture("c")))) <= {"filed", "repeated"}
    takes("a", "b", "c")
    a, b, c = (found[one] for one in "abc")
    shown = Result("result", "{}", 60)
    assert again(lambda: store.places.give_back(a, settled(a, was_sent=False))) == "lane"
    assert again(lambda: store.places.finish(b, Ended("done", [shown], [("list", "next")]), settled(b))) == "ended"
    assert again(lambda: store.places.park(c, "trace", 60, settled(c), shown)) == "parked"
    again(lambda: store.places.cancel(["a"]))
    again(lambda: store.places.push([("wx1", "trace", "{}")]))
    takes("a", "c")
    for one, how in (("a", "cancelled"), ("c", "done")):
        assert (found[one].cause or {})["ended"] == how
        assert again(partial(store.places.finish, found[one], Ended("done"))) == "ended"
    assert store.redis.lrange("list", 0, -1)[:1] == ["next"]
    store.later(LEASE + 60)
    again(store.places.bring_on)
    store.file(text("d"), picture("e"))
    takes("d", "e")
    for name in ("shelf", "parked", "ready:text", "ready:media", "ready:push"):
        assert store.redis.exists(SHARD.key(name)) == 0, name
    for kind in KINDS:
        assert store.waiting(kind) == []


# what follows elsewhere


def test_what_is_to_be_published_elsewhere_is_left_to_its_run_and_then_to_others(store: PlacesWorld) -> None:
    (held,) = store.held(text("a"))
    assert store.places.finish(held, Ended("done", outbox="[1]")) == "ended"
    assert store.places.relay() == []
    store.later(RELAY_LEASE)
    assert store.places.relay() == [(held.entry, "[1]")]
    assert store.places.relay() == [], "one relay has it"
    store.later(RELAY_LEASE)
    assert store.places.relay() == [(held.entry, "[1]")], "that one has died"
    rest = store.places.advance(held.entry, "[2]")
    assert rest is not None
    store.later(RELAY_LEASE - 1)
    assert store.places.relay() == [], "it has more time"
    store.later(2)
    assert store.places.relay() == [(rest, "[2]")], "a part of it is out"
    assert store.places.advance(held.entry) is None, "another relay has brought that part out"
    assert store.places.advance(rest)
    assert store.places.advance(rest, "[3]") is None
    store.later(RELAY_LEASE)
    assert store.places.relay() == []


def test_what_goes_out_into_this_redis_goes_with_the_step_that_takes_it_off_the_outbox(store: PlacesWorld) -> None:
    (held,) = store.held(text("a"))
    store.places.finish(held, Ended("done", outbox="[1]"))
    out: dict[str, Any] = {"results": [Result("result", "{}", 60)], "messages": [("app", "first"), ("app", "second")]}
    rest = store.places.advance(held.entry, "[2]", **out)
    assert rest is not None
    assert (store.redis.get("result"), store.redis.lrange("app", 0, -1)) == ("{}", ["second", "first"])
    assert store.places.advance(held.entry, "[2]", **out) is None
    assert store.redis.llen("app") == 2, "once"
    store.redis.delete("app")
    store.redis.set("app", "no list")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE app is a string"):
        store.places.advance(rest, messages=[("other", "third"), ("app", "fourth")])
    assert not store.redis.exists("other")
    store.later(RELAY_LEASE)
    assert store.places.relay() == [(rest, "[2]")], "nothing was done"


def test_a_check_that_is_forgotten_is_in_no_place(store: PlacesWorld) -> None:
    (held,) = store.held(text("a", due=store.now + 60, why="stale"))
    store.places.forget(held)
    assert store.places.show("a") is None
    assert not store.redis.exists(*(SHARD.key(name) for name in ("hand", "stale", "checks", "messages")))


def test_a_check_that_another_run_has_since_is_not_forgotten(store: PlacesWorld) -> None:
    (held,) = store.held(text("a"))
    store.later(LEASE + 1)
    store.places.bring_on()
    store.later(1)
    (again,) = store.take().held
    store.places.forget(held)
    assert store.place("a") == "hand"
    store.places.forget(again)
    assert store.place("a") == ""


def test_an_end_that_is_refused_leaves_nothing_in_the_outbox(store: PlacesWorld) -> None:
    (held,) = store.held(text("a"))
    store.redis.set("app", "no list")
    with pytest.raises(redis.ResponseError):
        store.places.finish(held, Ended("done", messages=[("app", "first")], outbox="[1]"))
    assert store.redis.exists(SHARD.key("outbox"), SHARD.key("outbox_due")) == 0


# who waits is woken


def test_a_worker_that_waits_is_woken_once_for_what_comes(store: PlacesWorld) -> None:
    store.file(text("a"), text("b"))
    store.file(text("c", priority=0))
    assert (store.wakes("text"), store.wakes("media"), store.wakes("push")) == (1, 0, 0)


def test_a_push_wakes_those_who_finish(store: PlacesWorld) -> None:
    (held,) = store.held(picture("a"))
    store.places.park(held, "trace", 60)
    store.places.push([("wx1", "trace", "{}")])
    assert store.wakes("push") == 1


def test_another_worker_is_woken_for_what_one_left(store: PlacesWorld) -> None:
    store.file(text("a"), text("b"))
    store.later(1)
    store.redis.delete(SHARD.key("wake:text"))
    store.take(1)
    assert store.wakes("text") == 1
    store.redis.delete(SHARD.key("wake:text"))
    store.take(1)
    assert store.wakes("text") == 0
