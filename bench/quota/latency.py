"""How long the platform takes to answer: the models of the bench. Seeded, so that a run can be done again."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

#: draws the seconds until an answer, for a request that arrives ``now`` (seconds since the server's start)
Draw = Callable[[float], float]

#: seconds; the usual answer
USUAL = 0.2
#: seconds; how long a spell of the model ``shift`` lasts
SPELL = 20.0
#: seconds; how much later the slow spells of the model ``shift`` answer
SHIFT = 0.8
#: seconds; and share of the answers that are as late as that in the model ``stalls``
STALL, STALLED = 4.0, 0.01
#: seconds; most answers of the model ``log-normal`` lie between these (two standard deviations)
LOW, HIGH = 0.2, 0.5


def _calm(chance: random.Random) -> Draw:
    """0.2 s, more or less a twentieth."""
    return lambda _: chance.uniform(0.95 * USUAL, 1.05 * USUAL)


def _log_normal(chance: random.Random) -> Draw:
    """0.2 to 0.5 s, with a median of 0.32 s, and now and then longer."""
    middle = (math.log(LOW) + math.log(HIGH)) / 2
    deviation = (math.log(HIGH) - math.log(LOW)) / 4
    return lambda _: chance.lognormvariate(middle, deviation)


def _shift(chance: random.Random) -> Draw:
    """0.2 s, and in every other spell of 20 s 0.8 s longer: each change is a lull or a rush of answers."""

    def draw(now: float) -> float:
        late = SHIFT if int(now / SPELL) % 2 else 0.0
        return late + chance.uniform(0.95 * USUAL, 1.05 * USUAL)

    return draw


def _stalls(chance: random.Random) -> Draw:
    """0.2 s, but 4 s for one answer in a hundred."""
    return lambda _: STALL if chance.random() < STALLED else chance.uniform(0.95 * USUAL, 1.05 * USUAL)


#: by the names that the command line takes
MODELS: dict[str, Callable[[random.Random], Draw]] = {
    "calm": _calm,
    "log-normal": _log_normal,
    "shift": _shift,
    "stalls": _stalls,
}


def latency(model: str, seed: int) -> Draw:
    """The model of that name.

    Raises:
        ValueError: there is no such model.
    """
    if model not in MODELS:
        raise ValueError(f"latency model: {model!r} is none of {', '.join(MODELS)}")
    return MODELS[model](random.Random(seed))  # noqa: S311 - to be repeatable is the point
