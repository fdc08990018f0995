"""A check leaves the hand once, wherever its run has left it.

Tests: worker.taking.hand
"""

from __future__ import annotations

import json

import pytest
import redis

from store.places.forms import Ended, Held
from store.places.shard import SHARD
from tasks.text import check_text
from tests.support.places_world import PlacesWorld, text
from worker.celery import app
from worker.celery_parts.request import CheckRequest, GivenBack, raised
from worker.taking.hand import MOST_RETURNS, InHand

MESSAGE = json.dumps(
    {
        "queue": "wxcheck.text",
        "body": "[[], {}, {}]",
        "headers": {"id": "a", "task": "wxcheck.check_text"},
        "properties": {},
        "content_type": "application/json",
        "content_encoding": "utf-8",
    }
)


@pytest.fixture
def let_go() -> list[Held]:
    return []


@pytest.fixture
def in_hand(store: PlacesWorld, let_go: list[Held]) -> InHand:
    (held,) = store.held(text("a")._replace(text=MESSAGE))
    return InHand(held, store.places, let_go.append)


def test_a_message_that_celery_drops_without_a_run_is_ended(store: PlacesWorld, in_hand: InHand) -> None:
    in_hand.message().ack()
    assert store.place("a") == "ended"


def test_a_message_that_was_run_and_not_moved_goes_back(store: PlacesWorld, in_hand: InHand) -> None:
    """Celery acknowledges it also where its pool fails around the task."""
    in_hand.is_run = True
    in_hand.message().ack()
    assert store.place("a") == "lane"


def test_a_check_goes_back_if_celery_fails_before_its_run_begins(store: PlacesWorld, in_hand: InHand) -> None:
    """Ended it would be lost: nobody has told its end."""
    message = in_hand.message()
    request = CheckRequest(message, app=app, task=check_text, hostname="here", on_ack=message.ack_log_error)
    request.on_failure(raised(GivenBack("store")))
    assert store.place("a") == "lane"


def test_a_message_that_is_given_back_goes_back(store: PlacesWorld, in_hand: InHand) -> None:
    in_hand.message().reject(requeue=True)
    assert store.place("a") == "lane"


def test_what_its_run_has_moved_is_left_there(store: PlacesWorld, in_hand: InHand, let_go: list[Held]) -> None:
    in_hand.is_run = True
    assert in_hand.finish(Ended("done")) == "ended"
    in_hand.message().ack()
    in_hand.leave(back=True)
    assert store.place("a") == "ended"
    assert [held.id for held in let_go] == ["a"]


def test_a_check_that_no_script_ends_leaves_the_hand_and_comes_back_with_its_lease(
    store: PlacesWorld, in_hand: InHand, let_go: list[Held], caplog: pytest.LogCaptureFixture
) -> None:
    """An error in the loop's thread would end the worker."""
    store.redis.set(SHARD.key("ended"), "a text, where the marks should be")
    in_hand.message().ack()
    assert "not_released task_id=a appid=wx1: ResponseError: WRONGTYPE" in caplog.text
    assert [held.id for held in let_go] == ["a"]
    store.later(120)
    store.redis.delete(SHARD.key("ended"))
    store.places.bring_on()
    (again,) = store.take().held
    store.redis.set(SHARD.key("ended"), "a text, where the marks should be")
    InHand(again, store.places, let_go.append).message().ack()
    assert store.place("a") == "hand"
    last = again._replace(check={**again.check, "returns": MOST_RETURNS})
    InHand(last, store.places, let_go.append).message().ack()
    assert store.place("a") == "", "it does not come back for ever"


def test_a_check_whose_store_is_away_leaves_the_hand(
    store: PlacesWorld, in_hand: InHand, let_go: list[Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> str:
        raise redis.ConnectionError("gone")

    monkeypatch.setattr(store.places, "finish", away)
    in_hand.message().ack()
    assert [held.id for held in let_go] == ["a"]
    assert store.place("a") == "hand"


def test_a_check_that_is_forgotten_is_left_alone(store: PlacesWorld, in_hand: InHand) -> None:
    in_hand.forget()
    in_hand.message().ack()
    assert store.place("a") == ""
