"""A worker publishes plain text into lists that every consumer reads, or keeps it for a step of the store.

Tests: worker.celery_parts.transport, store.outbox.outbox
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import redis
from kombu import Connection, Exchange, Producer, Queue

from config.broker_lists import list_of
from store.outbox.outbox import kept_messages, set_aside
from worker.celery_parts.transport import Transport


@pytest.fixture
def producer(server: redis.Redis) -> Iterator[Producer]:
    server.flushall()
    port = server.connection_pool.connection_kwargs["port"]
    with Connection(f"redis://127.0.0.1:{port}/0", transport=Transport) as connection:
        yield Producer(connection.channel(), serializer="json")


def publish(producer: Producer, queue: str, priority: int = 0, **arguments: object) -> None:
    declared = Queue(queue, Exchange(queue), routing_key=queue, queue_arguments=arguments)
    producer.publish([queue], exchange=queue, routing_key=queue, priority=priority, declare=[declared])


def test_a_message_is_plain_text_in_the_list_of_a_priority_that_every_consumer_reads(
    server: redis.Redis, producer: Producer
) -> None:
    publish(producer, "application", priority=5)
    (message,) = server.lrange(list_of("application", 3), 0, -1)
    assert json.loads(message)["body"] == '["application"]'


def test_a_message_that_is_set_aside_is_kept_with_its_list_and_not_published(
    server: redis.Redis, producer: Producer
) -> None:
    with set_aside() as kept:
        publish(producer, "application")
        publish(producer, "other", priority=9)
    assert kept_messages.get() is None
    assert [name for name, _ in kept] == ["application", list_of("other", 9)]
    assert [json.loads(text)["body"] for _, text in kept] == ['["application"]', '["other"]']
    assert server.exists("application", list_of("other", 9)) == 0
    publish(producer, "application")
    assert server.llen("application") == 1


def test_a_message_for_a_queue_that_expires_goes_out_at_once(server: redis.Redis, producer: Producer) -> None:
    with set_aside() as kept:
        publish(producer, "for-a-while", **{"x-expires": 60_000})
    assert kept == []
    assert server.llen("for-a-while") == 1
    assert 0 < server.pttl("for-a-while") <= 60_000
