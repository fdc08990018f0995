"""Many messages from one: Celery makes the first, and the others differ from it in their ids only.

So a backlog is on its queue within a moment, and each message is what Celery makes of the very same call.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from celery import Celery
from redis import Redis

from bench.redis_load import connect
from bench.servers import APPID

#: number of a database of the Redis in which nobody listens
_SCRATCH = 9
#: messages that are put on the queue at once
BATCH = 1000

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Template:
    """A message as it waits in its queue, and the name of the list that it waits in."""

    queue: str
    raw: str

    def of(self, appid: str) -> Template:
        """The same message for another Mini Program."""
        outer = json.loads(self.raw)
        body = base64.b64decode(outer.pop("body")).decode()
        outer = json.loads(json.dumps(outer).replace(APPID, appid))
        outer["body"] = base64.b64encode(body.replace(APPID, appid).encode()).decode()
        return Template(self.queue, json.dumps(outer))

    def clones(self) -> Iterator[str]:
        """Messages like it with ids of their own, without end."""
        outer = json.loads(self.raw)
        body = base64.b64decode(outer.pop("body")).decode()
        outer_text = json.dumps(outer)
        # reply_to is the sender's, and the same for all that it sends
        ids = set(_UUID.findall(outer_text) + _UUID.findall(body)) - {outer["properties"].get("reply_to")}
        pattern = re.compile("|".join(map(re.escape, sorted(ids))))
        while True:
            fresh = {of: str(uuid.uuid4()) for of in ids}

            def put(found: re.Match[str], fresh: dict[str, str] = fresh) -> str:
                return fresh[found[0]]

            clone = json.loads(pattern.sub(put, outer_text))
            clone["body"] = base64.b64encode(pattern.sub(put, body).encode()).decode()
            yield json.dumps(clone)


def template(url: str, send: Callable[[Celery], object]) -> Template:
    """The message that ``send`` puts on a queue, taken off it before anybody sees it; ``url``: of the Redis."""
    scratch = f"{url.rpartition('/')[0]}/{_SCRATCH}"
    app = Celery("bench-client", broker=scratch, backend=scratch, set_as_current=False)
    try:
        send(app)
    finally:
        app.close()
    with connect(scratch) as client:
        (queue,) = [key for key in client.scan_iter() if client.type(key) == "list"]
        raw = client.rpop(queue)
        client.flushdb()
    assert isinstance(raw, str)  # noqa: S101 - it was a list, and one answer was asked for
    return Template(queue, raw)


def put(client: Redis, queue: str, messages: list[str]) -> None:
    """Puts messages on a queue, the first of them first."""
    remaining = iter(messages)
    while batch := list(islice(remaining, BATCH)):
        client.lpush(queue, *batch)
