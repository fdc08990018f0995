"""A worker knows which Mini Programs have a queue of their own, also those marked while it reads the marks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from celery import Celery
from kombu import Connection

from config.celery import queue_named
from config.lanes import Lane
from worker.fetching import consumer as consumer_module
from worker.fetching.consumer import CROWD_KEEP, Flows

APPID = "wx0000000000000001"
OTHER_APPID = "wx0000000000000002"
NO_MARKS: dict[Lane, set[str]] = {"text": set(), "media": set()}


@pytest.fixture
def flows(monkeypatch: pytest.MonkeyPatch) -> Iterator[Flows]:
    programs = dict.fromkeys((APPID, OTHER_APPID))
    runtime = SimpleNamespace(settings=SimpleNamespace(programs=programs), crowds=Mock())
    monkeypatch.setattr(consumer_module, "runtime", lambda: runtime)
    with Connection("memory://") as connection:
        flows = Flows(
            SimpleNamespace(
                app=Celery(),
                connection=connection,
                controller=SimpleNamespace(concurrency=8),
                hub=Mock(),
                on_decode_error=None,
                task_consumer=SimpleNamespace(queues=[queue_named("wxcheck.text")]),
            )
        )
        flows._stopped = False
        flows.open("wxcheck.text")
        yield flows


def test_a_crowd_that_came_while_the_marks_were_read_stays(flows: Flows) -> None:
    flows.crowd("text", APPID)
    flows._found_crowds(NO_MARKS)
    assert flows.crowds == {"text": {APPID}, "media": set()}


def test_a_crowd_without_a_mark_is_one_no_more_once_its_queue_was_not_used_for_a_while(
    flows: Flows, monkeypatch: pytest.MonkeyPatch
) -> None:
    flows.crowd("text", APPID)
    later = time.monotonic() + CROWD_KEEP
    monkeypatch.setattr(consumer_module, "time", SimpleNamespace(monotonic=lambda: later))
    flows._found_crowds(NO_MARKS)
    assert flows.crowds == {"text": set(), "media": set()}
    assert not flows.is_open(f"wxcheck.text.{APPID}")


def test_a_mark_of_another_worker_opens_the_queue(flows: Flows) -> None:
    flows._found_crowds({**NO_MARKS, "text": {APPID}})
    assert flows.crowds == {"text": {APPID}, "media": set()}
    assert flows.is_open(f"wxcheck.text.{APPID}")
