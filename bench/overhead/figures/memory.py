"""``memory``: what a worker holds (RSS) after 100,000 text checks, beside the same after 10,000.

One worker process, quotas lifted, the results kept in Redis; looked at whenever another hundredth of the checks is done
and acknowledged.
"""

from __future__ import annotations

import time

from bench.overhead.outcome import Measured, Row, at_most
from bench.overhead.scale import Scale
from bench.overhead.side import Options, Side

_MIB = 1 << 20
#: looks at the memory
LOOKS = 50


def run(scale: Scale, options: Options) -> Measured:
    """Checks in parts, and looks after each."""
    early, late = scale.memory
    part = late // LOOKS
    checks, mib, seconds = [0], [], [0.0]
    with Side("wxcheck", options) as side:
        mib.append(side.worker_bytes() / _MIB)
        began = time.monotonic()
        while checks[-1] < late:
            side.run_texts(part)
            checks.append(checks[-1] + part)
            mib.append(side.worker_bytes() / _MIB)
            seconds.append(time.monotonic() - began)
    at = dict(zip(checks, mib, strict=True))
    title = f"memory of a worker after {late:,} text checks"
    row = Row("memory", title, "MiB", [at[late]], [at[early]], f"after {early:,}", at_most(1.05))
    return Measured([row], {"checks": checks, "mib": mib, "seconds": seconds})
