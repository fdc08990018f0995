"""The sorter moves the waiting checks of a crowded appId to its own queue, many at a time, if the broker is Redis.

Any other broker needs a fetch for each check, and ten thousand checks of one appId hold up the other appIds as long as
that takes. Redis moves the checks itself, each atomically.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from kombu import Message
from kombu.transport.redis import Channel

from config.lanes import own_queue
from config.redis_url import is_redis
from store.connection import connect
from store.scripts import script
from worker.fetching.broker_lists import PRIORITIES, list_of, lists_of
from worker.fetching.reading import JSON, Unreadable, as_protocol_2
from worker.messages import appid_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from config.settings import Settings

#: messages that are read at once; a text may take half a megabyte
BATCH = 100
#: most seconds for one answer of Redis
TIMEOUT = 5.0


def sorter(settings: Settings) -> Sorter | None:
    """Return the sorter of this broker; None if the broker is no Redis."""
    return Sorter(settings) if is_redis(settings.broker) else None


class Sorter:
    """Sorts one queue of a Redis broker by appId. For one thread at a time."""

    def __init__(self, settings: Settings) -> None:
        self._default = settings.default_appid
        self._redis = connect(settings.broker, TIMEOUT, retries=1)
        self._move = script(self._redis, "worker/fetching/move")

    def sort(self, queue: str, crowded: set[str]) -> set[str]:
        """Move the checks of ``crowded`` appIds from ``queue`` to their own queues. Return the appIds that had some."""
        found: set[str] = set()
        for priority in PRIORITIES:
            offset = 0
            while raws := self._redis.lrange(list_of(queue, priority), -offset - BATCH, -offset - 1):
                # the message to be consumed first is at the end
                moved = self._move_batch(queue, priority, reversed(cast("list[str]", raws)), crowded)
                found |= set(moved)
                offset += len(raws) - sum(moved.values())
        return found

    def waiting(self, queue: str, appids: Iterable[str]) -> set[str]:
        """Return those of ``appids`` that have checks in a queue of their own beside ``queue``."""
        asked = list(appids)
        with self._redis.pipeline(transaction=False) as pipe:
            for appid in asked:
                pipe.exists(*lists_of(own_queue(queue, appid)))
            return {appid for appid, found in zip(asked, pipe.execute(), strict=True) if found}

    def _move_batch(self, queue: str, priority: int, raws: Iterable[str], crowded: set[str]) -> dict[str, int]:
        """Move the crowded appIds' messages of a batch. Return their numbers by appId."""
        pairs: dict[str, list[str]] = {}
        for raw in raws:
            appid, anew = self._read(raw, queue)
            if appid in crowded:
                pairs.setdefault(appid, []).extend((raw, anew))
        return {
            appid: int(
                self._move(keys=[list_of(name, priority) for name in (queue, own_queue(queue, appid))], args=args)
            )
            for appid, args in pairs.items()
        }

    def _read(self, raw: str, queue: str) -> tuple[str, str]:
        """Return a message's appId, and the message for that appId's own queue; ("", "") if it cannot be read."""
        try:
            stored: dict[str, Any] = json.loads(raw)
            message = _message(stored)
            as_protocol_2(message)
            appid = appid_of(message, self._default) or ""
            own = own_queue(queue, appid)
            stored["properties"]["delivery_info"].update(exchange=own, routing_key=own)
        except (Unreadable, ValueError, KeyError, TypeError, AttributeError):
            return "", ""  # the worker that fetches the message refuses it by name
        return appid, json.dumps(stored)


def _message(stored: dict[str, Any]) -> Message:
    properties = stored["properties"]
    body = Channel.codecs["base64"].decode(stored["body"]) if properties.get("body_encoding") else stored["body"]
    return Message(
        body=body,
        headers=stored.get("headers"),
        content_type=stored.get("content-type"),
        content_encoding=stored.get("content-encoding"),
        accept={JSON},
    )
