"""``media``: media chains a second, from the check to its follow-up, and their ``cpu``.

wxcheck: an application's ``chain(check_media(…), follow_up.s())``. One worker process runs all queues of wxcheck, one
the application's. The stand-in answers with a new trace_id and, half a second later, pushes to the endpoint, signed and
encrypted; the pushes are encrypted beforehand. Peer: the same hops in bare Celery tasks, plain JSON in place of the
envelope (:mod:`bench.overhead.bare`). The rate is that of the follow-ups' starts from a tenth to nine tenths of them.
``cpu`` is the time that workers, endpoint, Redis and application took from the first message to the last
acknowledgement, for each chain. Without a target: a plain ``chain`` of three bare tasks, which waits for no push.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack

from bench.overhead import checks
from bench.overhead.outcome import Measured, Row, at_least, at_most, steady_rate
from bench.overhead.scale import Scale
from bench.overhead.side import Options, Side

TITLE = "media chains, one worker process and one of the application"
PEER = "the same hops in bare tasks"
PLAIN = "plain chain of three bare tasks, no push"


def run(scale: Scale, options: Options) -> Measured:
    """Both sides in turn, and the plain chain after them."""
    rates: dict[str, list[float]] = defaultdict(list)
    cpu: dict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        ours = stack.enter_context(Side("wxcheck", options, endpoint=True, application=True))
        bare = stack.enter_context(Side("bare", options, endpoint=True, application=True))
        turns = [
            ("wxcheck", ours, ours.media),
            ("bare", bare, bare.media),
            ("plain", bare, checks.plain_chain(bare.url)),
        ]
        for name, side, of in turns:
            side.run_chains(of, scale.warm_up, push=name != "plain")
        for _ in range(scale.rounds):
            for name, side, of in turns:
                times, spent = side.run_chains(of, scale.chains, push=name != "plain")
                rates[name].append(steady_rate(times))
                cpu[name].append(spent / scale.chains * 1000)
    return Measured(
        [
            Row("media", TITLE, "1/s", rates["wxcheck"], rates["bare"], PEER, at_least(0.75)),
            Row("media", TITLE, "1/s", rates["wxcheck"], rates["plain"], PLAIN),
            Row("cpu", "CPU of a media chain", "ms", cpu["wxcheck"], cpu["bare"], PEER, at_most(1.3)),
            Row("cpu", "CPU of a media chain", "ms", cpu["wxcheck"], cpu["plain"], PLAIN),
        ]
    )
