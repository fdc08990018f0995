"""``redis``: what one check costs Redis in CPU, and in bytes to it and from it: a text check, and a media chain.

From ``INFO``, over the checks of a turn that a saturated worker runs; what the processes ask for when nothing is to do
is in it. The peer's are the same bare tasks as in ``text`` and ``media``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

from bench.overhead.outcome import Measured, Row
from bench.overhead.scale import Scale
from bench.overhead.side import Kind, Options, Side

_KINDS: tuple[Kind, ...] = ("wxcheck", "bare")
#: what is told, its unit, and the fields of INFO that add up to it, with what makes that unit of theirs
_WHAT = (
    ("CPU of Redis", "µs", ("used_cpu_user", "used_cpu_sys"), 1e6),
    ("bytes to Redis", "B", ("total_net_input_bytes",), 1.0),
    ("bytes from Redis", "B", ("total_net_output_bytes",), 1.0),
)


def run(scale: Scale, options: Options) -> Measured:
    """Both sides in turn."""
    found: dict[tuple[str, str, Kind], list[float]] = defaultdict(list)
    with ExitStack() as stack:
        sides = [stack.enter_context(Side(kind, options, endpoint=True, application=True)) for kind in _KINDS]
        for side in sides:
            side.run_texts(scale.warm_up)
            side.run_chains(side.media, scale.warm_up, push=True)
        for _ in range(scale.rounds):
            for side in sides:
                for of, what, spent in _turns(side, scale):
                    found[of, what, side.kind].append(spent)
    return Measured(
        [
            Row("redis", f"{what}, {of}", unit, found[of, what, "wxcheck"], found[of, what, "bare"], "bare")
            for of in ("a text check", "a media chain")
            for what, unit, _, _ in _WHAT
        ]
    )


def _turns(side: Side, scale: Scale) -> Iterator[tuple[str, str, float]]:
    """Of which check, what, and how much of it one took, in one turn of each kind."""
    turns: dict[str, tuple[int, Callable[[], object]]] = {
        "a text check": (scale.texts, partial(side.run_texts, scale.texts)),
        "a media chain": (scale.chains, partial(side.run_chains, side.media, scale.chains, push=True)),
    }
    for of, (count, turn) in turns.items():
        before = _told(side)
        turn()
        for what, told in _told(side).items():
            yield of, what, (told - before[what]) / count


def _told(side: Side) -> dict[str, float]:
    info: dict[str, Any] = side.redis.info()
    return {what: sum(float(info[field]) for field in fields) * unit for what, _, fields, unit in _WHAT}
