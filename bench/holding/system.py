"""What the figures' systems have in common."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.machine import cpu_seconds, ports_of
from bench.overhead.clones import put
from bench.overhead.side import LIFTED
from bench.redis_load import load
from store.places.forms import Message
from store.places.places import BATCH, Places
from store.places.shard import SHARD
from store.quota.clock import Watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.overhead.clones import Template
    from bench.overhead.side import Side

#: of a lane whose day's quota is gone after its first call
ONE_A_DAY = {**LIFTED, "WXCHECK_TEXT_PER_DAY": "1"}
#: checks of each such lane that wait after it
WAIT = 4
#: seconds until connections to the platform that nobody uses are closed
SETTLES = 17.0


def appids(number: int) -> list[str]:
    """So many Mini Programs, beside the default one."""
    return [f"wx{one:016x}" for one in range(1, number + 1)]


def put_each(side: Side, of: Sequence[Template], count: int) -> None:
    """Puts ``count`` messages of each of the Mini Programs, by turns."""
    clones = [template.clones() for template in of]
    put(side.redis, of[0].queue, [next(one) for _ in range(count) for one in clones])


def waiting(side: Side, appid: str) -> int:
    """Texts in the lane of an appId."""
    return int(side.redis.zcard(SHARD.of_lane("text", appid)[0]))


def fill(side: Side, of: Template, appid: str, count: int) -> None:
    """Has ``count`` texts of an appId wait, filed through :meth:`store.places.places.Places.file` in batches.

    Their message is that of a check that has really been filed: one waits in the lane.
    """
    put(side.redis, of.queue, list(islice(of.clones(), 1)))
    side.wait("a check waits", lambda: waiting(side, appid) > 0)
    client: Any = side.redis
    (sample,) = client.zrange(SHARD.of_lane("text", appid)[0], 0, 0)
    text = client.hget(SHARD.key("messages"), sample)
    check = json.loads(client.hget(SHARD.key("checks"), sample))
    places = Places(side.redis, SHARD, Watch(), 10.0)
    for first in range(0, count, BATCH):
        ids = [str(uuid.uuid4()) for _ in range(min(BATCH, count - first))]
        places.file(
            [Message(id, text.replace(sample, id), "text", appid, check["priority"], check["of"]) for id in ids]
        )


@dataclass(frozen=True)
class Held:
    """What one worker holds, and does, while nothing can be sent."""

    clients: int
    descriptors: int
    threads: int
    commands: float
    cpu: float


def held(side: Side, worker: str, seconds: float, workers: int = 1) -> Held:
    """Watches a worker for so long. The commands are those of all ``workers``, in equal shares."""
    pid = side.pid(worker)
    before, spent, began = load(side.redis), cpu_seconds(pid) or 0.0, time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    commands = load(side.redis).since(before).total / passed / workers
    cpu = ((cpu_seconds(pid) or 0.0) - spent) / passed * 100
    clients = len(ports_of(pid, int(side.url.rpartition(":")[2].partition("/")[0])))
    process = Path(f"/proc/{pid}")
    descriptors, threads = (len(list((process / of).iterdir())) for of in ("fd", "task"))
    return Held(clients, descriptors, threads, commands, cpu)
