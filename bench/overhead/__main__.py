"""``python -m bench.overhead``: measures what is asked for and prints one table.

python -m bench.overhead                                       everything, up to half an hour
python -m bench.overhead --quick --only text,endpoint
python -m bench.overhead --json build/bench.json --plots docs/pictures/performance
"""

from __future__ import annotations

import sys

from bench.overhead.command import Command, main
from bench.overhead.figures import FIGURES
from bench.overhead.scale import FULL, QUICK

OVERHEAD = Command(
    "bench.overhead",
    "What wxcheck adds to bare Celery.",
    FIGURES,
    QUICK,
    FULL,
    checks=("texts", "chains", "scaled_texts", "warm_up"),
)

if __name__ == "__main__":
    sys.exit(main(OVERHEAD))
