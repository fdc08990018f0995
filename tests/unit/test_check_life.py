"""``wxcheck show`` tells where a check stands, by what is known of it.

Tests: status.check_life, status.check_facts
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from status.check_facts import Facts, Message, failure_of
from status.check_life import SHOWN, Life, life_of
from store.dead_letters.dead_letters import DeadLetter
from wxcheck import CheckRefused, PushTimeout

NOW = 1_764_158_400.0
MEMBER = "wx0123456789abcdef:trace"
MESSAGE = Message("wxcheck.check_text", "wxcheck.text", NOW - 60)
VERDICT = {"suggest": "pass", "label": 100, "kind": "image", "version": 2, "appid": "wx1", "trace_id": "trace"}


def life(**known: Any) -> Life:
    facts = dict.fromkeys(Facts._fields)
    facts |= {
        "task_id": "id",
        "now": NOW,
        "record": {},
        "check": {},
        "state": "PENDING",
        "processes": [],
        "follow_ups": [],
    }
    return life_of(Facts(**{**facts, **known}))


def parked(**check: str) -> dict[str, Any]:
    return {"record": {"state": "waiting", "member": MEMBER}, "member": MEMBER, "kind": "image", "check": check}


def letter() -> DeadLetter:
    return DeadLetter("id", "PushTimeout", ["trace"], "wx1", "wxcheck.check_media", NOW - 5, True)


@pytest.mark.parametrize(
    ("known", "state", "said"),
    [
        ({}, "unknown", "26 hours"),
        ({"state": "WAITING"}, "unknown", "Redis may have lost it"),
        ({"queued": MESSAGE._replace(before=1234)}, "queued", "in wxcheck.text, 1,234 before it"),
        ({"in_hand": MESSAGE}, "taken", "permit"),
        ({"shelved": MESSAGE, "shelved_until": NOW + 90}, "shelved", "in 1 min 30 s"),
        ({"shelved": MESSAGE, "shelved_until": NOW - 9}, "shelved", "does a worker run?"),
        ({"shelved": MESSAGE, "shelved_until": NOW + 9, "state": "RETRY"}, "shelved", "sent again"),
        ({"record": {"state": "sending", "lease": str(NOW + 5)}}, "sending", "under way"),
        ({"record": {"state": "sending", "lease": str(NOW + 5), "cancelled": "1"}}, "sending", "will be cancelled"),
        ({"record": {"state": "sending", "lease": str(NOW - 5)}}, "sending", "not been heard of"),
        ({"record": {"state": "sending", "lease": "0", "ending": "{}"}}, "finishing", "being stored"),
        (parked(state="waiting") | {"due": NOW + 60}, "waiting", "PushTimeout in 1 min"),
        (parked(state="finishing", outcome=json.dumps({"ended": "done"})), "finishing", "its push is here"),
        (parked(state="finishing", outcome=json.dumps({"ended": "timeout"})), "finishing", "no push came"),
        (parked(state="finishing", outcome="{}", claimed=str(NOW + 9)), "finishing", "ends it now"),
        (parked(state="finishing", outcome="{}", tries="2"), "finishing", "published 3 times"),
        ({"record": {"state": "done"}, "state": "SUCCESS", "verdict": VERDICT}, "done", "verdict"),
        ({"record": {"state": "done"}}, "done", "not stored"),
        ({"state": "SUCCESS"}, "done", "no verdict of wxcheck's"),
        ({"state": "FAILURE", "failure": failure_of(CheckRefused(40003, "", ""))}, "failed", "not passed"),
        ({"state": "FAILURE", "failure": failure_of(PushTimeout("t")), "letter": letter()}, "dead_letter", "replay id"),
    ],
)
def test_where_a_check_stands(known: dict[str, Any], state: str, said: str) -> None:
    told = life(**known)
    assert (told.state, said in told.said) == (state, True), told.said
    assert told.state in SHOWN


@pytest.mark.parametrize(
    ("known", "state"),
    [
        ({"shelved": MESSAGE, "shelved_until": NOW}, "shelved"),
        ({"queued": MESSAGE}, "queued"),
        ({"in_hand": MESSAGE}, "taken"),
        ({"record": {"state": "sending", "lease": str(NOW + 5)}}, "sending"),
    ],
)
def test_a_check_that_is_replayed_has_no_end_though_its_first_is_stored(known: dict[str, Any], state: str) -> None:
    first = {"record": {"run": "first"}, "state": "FAILURE", "failure": failure_of(PushTimeout("t")), "date_done": NOW}
    told = life(**{**first, **known})
    assert (told.state, told.failure, told.verdict) == (state, None, None)
    assert "ended" not in told.times


def test_the_times_are_in_order_and_those_that_nobody_noted_are_left_out() -> None:
    known = parked(state="waiting", since=str(NOW - 20)) | {"due": NOW + 40, "sent_at": NOW - 30}
    known["record"] |= {"begun": str(NOW - 25)}
    told = life(**known)
    assert told.times == {"enqueued": NOW - 30, "begun": NOW - 25, "parked": NOW - 20, "times_out": NOW + 40}
    assert "for its push for 20 s" in told.said
    assert (told.appid, told.trace_id, told.kind) == ("wx0123456789abcdef", "trace", "image")
    assert life(**parked(state="waiting")).times == {}


def test_a_failure_is_told_with_errcode_rid_and_remedy_and_a_foreign_one_by_its_class() -> None:
    refused = failure_of(CheckRefused(40164, "invalid ip 1.2.3.4", "rid-1"))
    told = life(state="FAILURE", failure=refused).failure
    assert told is not None
    assert (told["name"], told["errcode"], told["rid"]) == ("CheckRefused", 40164, "rid-1")
    assert "IP list" in told["remedy"]
    foreign = failure_of(ValueError("what a user wrote"))
    assert "wrote" not in json.dumps(life(state="FAILURE", failure=foreign)._asdict())
