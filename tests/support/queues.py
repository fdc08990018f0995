"""Reads from Redis the messages in the broker's queues, and the checks in the places of the store."""

from __future__ import annotations

import base64
import json
from typing import Any

import redis

from config.lanes import LANES, Lane
from store.places.shard import SHARD
from store.scripts import script

#: kombu keeps a list for each priority, the first under the queue's bare name
PRIORITIES = ("", *(f"\x06\x16{priority}" for priority in range(1, 10)))


def queued(store: redis.Redis, queue: str) -> list[str]:
    """The task ids that wait in ``queue``, the next one first."""
    waiting = [message for step in PRIORITIES for message in reversed(store.lrange(f"{queue}{step}", 0, -1))]
    return [json.loads(message)["headers"]["id"] for message in waiting]


def headers(store: redis.Redis, queue: str, task_id: str) -> dict[str, Any]:
    """The headers of a message that waits in ``queue``."""
    for step in PRIORITIES:
        for message in store.lrange(f"{queue}{step}", 0, -1):
            found: dict[str, Any] = json.loads(message)["headers"]
            if found["id"] == task_id:
                return found
    raise AssertionError(f"{task_id} does not wait in {queue}")


def taken_out(store: redis.Redis, queue: str) -> dict[str, Any]:
    """The next message of ``queue``, which has it no more; its body is text, also where kombu has encoded it."""
    message: dict[str, Any] = json.loads(str(store.rpop(queue)))
    if message["properties"].pop("body_encoding", None) == "base64":
        message["body"] = base64.b64decode(message["body"]).decode()
    return message


def unacknowledged(store: redis.Redis) -> int:
    """The number of messages that the workers have in hand."""
    return int(store.zcard("wxcheck:unacked_index"))


def in_lane(store: redis.Redis, appid: str, kind: Lane = "text") -> list[str]:
    """The task ids of the checks that wait for a permit, the next one first."""
    return [str(task_id) for task_id in store.zrange(SHARD.of_lane(kind, appid)[0], 0, -1)]


def in_hand(store: redis.Redis) -> int:
    """The number of checks that the workers run, and of messages that they have read and not filed."""
    return int(store.zcard(SHARD.key("hand"))) + unacknowledged(store)


def kept_headers(store: redis.Redis, task_id: str) -> dict[str, Any]:
    """The headers of a check's message, which the store keeps until the check ends."""
    found: dict[str, Any] = json.loads(store.hget(SHARD.key("messages"), task_id) or "{}")["headers"]
    return found


def look_at_lanes(store: redis.Redis) -> None:
    """Has the workers look at all lanes now, whatever they were told of the time when those open."""
    for kind in LANES:
        script(store, "store/places/reopen")(keys=[SHARD.key(f"open:{kind}"), SHARD.key(f"wake:{kind}")], args=[64])


def on_shelf(store: redis.Redis, task_id: str) -> float | None:
    """The time at which a check leaves the shelf (seconds since the epoch); None where it is not there."""
    score = store.zscore("wxcheck:{0}:shelf", task_id)
    return None if score is None else float(score) / 1000
