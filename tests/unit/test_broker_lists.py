"""The lists of a queue are named as kombu names them.

Tests: config.broker_lists, ops.doctor.lists
"""

from __future__ import annotations

import pytest
from kombu.transport.redis import Channel

from config.broker_lists import PRIORITIES, PUBLISHED, SEPARATOR, lists_of, published
from ops.doctor.lists import Unread, meant, told


def test_they_are_kombus() -> None:
    assert Channel.sep == SEPARATOR
    assert tuple(Channel.priority_steps) == PUBLISHED
    assert tuple(range(Channel.min_priority, Channel.max_priority + 1)) == PRIORITIES
    assert lists_of("a") == ["a", *(f"a\x06\x16{priority}" for priority in range(1, 10))]


def test_what_is_published_goes_to_a_list_that_every_consumer_reads() -> None:
    assert [published(priority) for priority in PRIORITIES] == [0, 0, 0, 3, 3, 3, 6, 6, 6, 9]


@pytest.mark.parametrize(
    "name",
    [
        *lists_of("wxcheck.text"),
        "wxcheck.dead",
        "wxcheck:shelf",
        "celery",
    ],
)
def test_a_list_that_is_read_or_is_none_of_a_queues_is_not_told(name: str) -> None:
    assert meant(name) is None


@pytest.mark.parametrize(
    ("name", "queue"),
    [
        ("wxcheck.text:3", "wxcheck.text"),
        ("wxcheck.text3", "wxcheck.text"),
        ("wxcheck.text.3", "wxcheck.text"),
        ("wxcheck.media\x06\x1610", "wxcheck.media"),
        ("wxcheck.media.wx0123456789abcdef", "wxcheck.media"),
        ("shop_wxcheck.push", "wxcheck.push"),
        ("shop:wxcheck.media.wx0123456789abcdef\x06\x163", "wxcheck.media"),
    ],
)
def test_a_list_that_looks_like_a_queues_and_is_not_read_is_told(name: str, queue: str) -> None:
    assert meant(name) == queue


def test_of_many_such_lists_some_are_told() -> None:
    unread = [Unread(f"{number}wxcheck.text", "wxcheck.text", 1) for number in range(100)]
    assert 0 < len(list(told(unread))) < 20
