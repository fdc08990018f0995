"""A message that goes wrong on its way into the store holds up no other, and is told once.

Tests: worker.intake.intake, worker.intake.inbox
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import redis

from store.places.forms import Message, Pushed
from worker.intake.filing import Push
from worker.intake.inbox import Inbox
from worker.intake.intake import Intake, Received
from worker.intake.reading import Unreadable


class World:
    """An intake whose messages are known by their tags, and a store that refuses what it is told to refuse."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.what: dict[str, Any] = {}
        self.refused: set[str] = set()
        #: errors of the next steps of the store
        self.errors: list[Exception] = []
        self.filed: list[str] = []
        self.counted: list[str] = []
        places = SimpleNamespace(file=self._file, push=self._push)
        statistics = SimpleNamespace(
            unreadable=lambda _queue, why: self.counted.append(why),
            count=lambda *_: None,
            delay=lambda _: None,
        )
        settings = SimpleNamespace(broker="redis://store", redis_url="redis://store")
        self.intake = Intake(cast("Any", places), cast("Any", settings), cast("Any", statistics))
        monkeypatch.setattr("worker.intake.intake.entry_of", self._entry_of)
        monkeypatch.setattr("worker.intake.inbox.AWAY", 0.01)

    def comes(self, **messages: Any) -> tuple[list[str], set[str]] | None:
        """Messages by their tags come; the tags of what was dropped, and of what stays."""
        self.what |= messages
        inbox = Inbox(self.intake)
        return inbox._take_in([Received(cast("Any", tag), "wxcheck.text", tag) for tag in messages])

    def _entry_of(self, tag: Any, *_: Any) -> Any:
        if isinstance(self.what[tag], Exception):
            raise self.what[tag]
        return self.what[tag]

    def _step(self, ids: list[str]) -> None:
        if self.errors:
            raise self.errors.pop()
        if self.refused & set(ids):
            raise redis.ResponseError("refused")
        self.filed += ids

    def _file(self, messages: list[Message], tags: list[str]) -> list[str]:
        assert len(messages) == len(tags)
        self._step([message.id for message in messages])
        return ["filed"] * len(messages)

    def _push(self, pushes: list[tuple[str, str, str]], tags: list[str]) -> list[Pushed]:
        assert len(pushes) == len(tags)
        self._step([trace for _, trace, _ in pushes])
        return [Pushed("early")] * len(pushes)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def text(task_id: str) -> Message:
    return Message(task_id, "message", "text", "wx1", 0, "digest")


def test_what_nobody_has_thought_of_stays_in_the_inbox_and_the_others_are_filed(world: World) -> None:
    nobodys = Unreadable("no_id", "it has no id")
    assert world.comes(a=text("a"), b=RuntimeError("the content"), c=nobodys, d=text("d")) == (["c"], {"b"})
    assert world.filed == ["a", "d"]


def test_a_check_that_the_store_refuses_stays_in_the_inbox_and_the_others_are_filed(world: World) -> None:
    world.refused = {"b", "trace-2"}
    pushes = {f"p{number}": Push("wx1", f"trace-{number}", "{}", 0.0) for number in range(3)}
    assert world.comes(a=text("a"), b=text("b"), **pushes) == ([], {"b", "p2"})
    assert world.filed == ["trace-0", "trace-1", "a"], "pushes come first"


def test_a_store_that_is_away_is_asked_again_and_each_message_is_read_once(world: World) -> None:
    world.errors = [redis.ConnectionError("gone")] * 3
    assert world.comes(a=text("a"), b=Unreadable("body", "no push")) == (["b"], set())
    assert (world.filed, world.counted) == (["a"], ["body"])


def test_an_inbox_that_is_stopped_waits_for_no_store(world: World) -> None:
    inbox = Inbox(world.intake)
    inbox._stopped.set()
    world.what, world.errors = {"a": text("a")}, [redis.ConnectionError("gone")]
    assert inbox._take_in([Received(cast("Any", "a"), "wxcheck.text", "a")]) is None
