"""``python -m bench.holding``: measures what checks cost that wait, and prints one table.

python -m bench.holding                                        everything, half an hour
python -m bench.holding --quick --only closed,scripts          everything takes three minutes with --quick
python -m bench.holding --json build/bench-holding.json --plots docs/pictures/performance
"""

from __future__ import annotations

import sys

from bench.holding.figures import FIGURES
from bench.holding.scale import FULL, QUICK
from bench.overhead.command import Command, main

HOLDING = Command("bench.holding", "What checks cost that wait, and whom they delay.", FIGURES, QUICK, FULL)

if __name__ == "__main__":
    sys.exit(main(HOLDING))
