"""``wxcheck show`` tells the place of a check and why it is there, by what is known of it.

Tests: status.check_life, status.check_facts
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from status.check_facts import Facts, LaneFacts, Message, failure_of
from status.check_life import SHOWN, Life, life_of
from store.dead_letters.dead_letters import DeadLetter
from wxcheck import CheckRefused, PushTimeout

NOW = 1_764_158_400.0
MESSAGE = Message("wxcheck.check_text", "wxcheck.text", NOW - 60)
VERDICT = {"suggest": "pass", "label": 100, "kind": "image", "version": 2, "appid": "wx1", "trace_id": "trace"}
REFUSED = failure_of(CheckRefused(40003, "", ""))


def life(**known: Any) -> Life:
    facts: dict[str, Any] = dict.fromkeys(Facts._fields)
    facts |= {
        "task_id": "id",
        "now": NOW,
        "check": {},
        "state": "PENDING",
        "in_outbox": False,
        "processes": [],
        "follow_ups": [],
    }
    return life_of(Facts(**{**facts, **known}))


def at(place: str, **check: Any) -> dict[str, Any]:
    """A text in a place."""
    return {"check": {"place": place, "kind": "text", "appid": "wx1", **check}, "message": MESSAGE}


def lane(state: str = "open", before: int = 0, opens_at: float | None = NOW, why: str | None = None) -> dict[str, Any]:
    """A text in a lane."""
    return {**at("lane"), "lane": LaneFacts(before, state, why, opens_at)}


def parked(**check: Any) -> dict[str, Any]:
    return {"check": {"place": "parked", "kind": "media", "appid": "wx1", "trace": "t", "media": "image", **check}}


def letter() -> DeadLetter:
    return DeadLetter("id", "PushTimeout", ["trace"], "wx1", "wxcheck.check_media", NOW - 5, True)


@pytest.mark.parametrize(
    ("known", "state", "said"),
    [
        ({}, "unknown", "26 hours"),
        ({"state": "WAITING"}, "unknown", "Redis may have lost it"),
        ({"message": MESSAGE._replace(before=1234)}, "inbox", "1,234 before it"),
        (lane(), "lane", "for a permit of the quota, the next one"),
        (lane(before=1234, opens_at=NOW + 90), "lane", "1,234 before it; the next permit comes in 1 min 30 s"),
        (lane(opens_at=NOW - 200), "lane", "now: does a worker run"),
        (lane("slowed", why="less is sent"), "lane", "(less is sent)"),
        (lane("closed", 3, NOW + 60, "WeChat said"), "lane", "the lane is closed: WeChat said; it opens in 1 min"),
        (lane("spent", 3, NOW + 7200, "the day"), "lane", "the lane is spent: the day; it opens in 2 h"),
        (lane("unknown"), "lane", "do not know its appId"),
        (at("shelf") | {"due": NOW + 90}, "shelf", "it goes to its lane in 1 min 30 s"),
        (at("shelf") | {"due": NOW - 9}, "shelf", "does a worker run?"),
        (at("shelf") | {"due": NOW + 9, "state": "RETRY"}, "shelf", "sent again"),
        (at("hand") | {"due": NOW + 5}, "in_hand", "a worker sends it"),
        (at("hand") | {"due": NOW + 5, "cause": "timeout"}, "in_hand", "tells its end"),
        (at("hand", cancelled=True) | {"due": NOW + 5}, "in_hand", "will be cancelled"),
        (at("hand") | {"due": NOW - 5}, "in_hand", "not been heard of"),
        (parked() | {"due": NOW + 60}, "parked", "PushTimeout in 1 min"),
        (parked(place="ready") | {"cause": "done"}, "ready", "its push is here"),
        (parked(place="ready") | {"cause": "timeout"}, "ready", "no push came"),
        (at("ready") | {"cause": "cancelled"}, "ready", "it was cancelled"),
        (at("ready") | {"cause": "stale"}, "ready", "away for too long"),
        (at("ended", how="done") | {"state": "SUCCESS", "verdict": VERDICT}, "done", "verdict"),
        (at("ended", how="done"), "done", "not stored"),
        (at("ended", how="failed") | {"in_outbox": True}, "outbox", "it failed; its result, or what follows"),
        ({"state": "SUCCESS"}, "done", "no verdict of wxcheck's"),
        ({"state": "FAILURE", "failure": REFUSED}, "failed", "not passed"),
        ({"state": "FAILURE", "failure": failure_of(PushTimeout("t")), "letter": letter()}, "dead_letter", "replay id"),
    ],
)
def test_the_place_of_a_check_and_why_it_is_there(known: dict[str, Any], state: str, said: str) -> None:
    told = life(**known)
    assert (told.state, said in told.said) == (state, True), told.said
    assert told.state in SHOWN


@pytest.mark.parametrize(
    ("known", "state"),
    [
        (at("shelf") | {"due": NOW}, "shelf"),
        ({"message": MESSAGE}, "inbox"),
        (lane(), "lane"),
        (at("hand") | {"due": NOW + 5}, "in_hand"),
        (parked() | {"due": NOW + 5}, "parked"),
    ],
)
def test_a_check_that_is_replayed_has_no_end_though_its_first_is_stored(known: dict[str, Any], state: str) -> None:
    first = {"state": "FAILURE", "failure": failure_of(PushTimeout("t")), "date_done": NOW}
    told = life(**{**first, **known})
    assert (told.state, told.failure, told.verdict) == (state, None, None)
    assert "ended" not in told.times


def test_the_times_are_in_order_and_those_that_nobody_noted_are_left_out() -> None:
    known = parked(since=(NOW - 20) * 1000) | {"due": NOW + 40, "message": MESSAGE._replace(sent_at=NOW - 30)}
    told = life(**known)
    assert told.times == {"enqueued": NOW - 30, "parked": NOW - 20, "times_out": NOW + 40}
    assert "for its push for 20 s" in told.said
    assert (told.appid, told.trace_id, told.kind) == ("wx1", "t", "image")
    assert life(**parked()).times == {}


def test_a_check_in_its_lane_has_its_rank_the_time_of_the_next_permit_and_that_at_which_it_is_given_up() -> None:
    known = lane("spent", before=7, opens_at=NOW + 50, why="…")
    known["check"] |= {"due": (NOW + 30) * 1000, "why": "stale"}
    told = life(**known)
    assert told.before == 7
    assert told.times == {"enqueued": NOW - 60, "opens": NOW + 50, "stale": NOW + 30}


def test_a_failure_is_told_with_errcode_rid_and_remedy_and_a_foreign_one_by_its_class() -> None:
    refused = failure_of(CheckRefused(40164, "invalid ip 1.2.3.4", "rid-1"))
    told = life(state="FAILURE", failure=refused).failure
    assert told is not None
    assert (told["name"], told["errcode"], told["rid"]) == ("CheckRefused", 40164, "rid-1")
    assert "IP list" in told["remedy"]
    foreign = failure_of(ValueError("what a user wrote"))
    assert "wrote" not in json.dumps(life(state="FAILURE", failure=foreign)._asdict())
