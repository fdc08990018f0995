"""What the places of a store still hold when every check has ended."""

from __future__ import annotations

import json
from typing import Any

import redis

from store.places.shard import SHARD

#: keys of a shard that stay, by how they begin: marks of ended checks, which expire, and what each lane may send
STAYS = ("checks", "ended", "traces", "sequence", "known", "wake:", "quota:", "ring:", "settled:", "token:")


def left_in_places(store: redis.Redis) -> list[str]:
    """The checks that have not ended, the keys that nobody removes, and marks that do not expire."""
    prefix, marked = SHARD.key(""), store.zcard(SHARD.key("ended"))
    keys = [key.removeprefix(prefix) for key in store.scan_iter(f"{prefix.replace('{', '[{]')}*", count=1000)]
    left = [f"{key}, a {store.type(SHARD.key(key))!s}" for key in keys if not key.startswith(STAYS)]
    checks: Any = store.hgetall(SHARD.key("checks"))
    for task_id, text in checks.items():
        if (place := json.loads(text)["place"]) != "ended":
            left.append(f"{task_id}: {place}")
    numbers = {name: store.hlen(SHARD.key(name)) for name in ("checks", "traces")}
    left += [f"{number} {name}, and {marked} marks expire" for name, number in numbers.items() if number > marked]
    return left
