"""``python -m bench.overhead.sweep_probe COUNT``: sweeps so often as a worker does, and prints the seconds of each."""

from __future__ import annotations

import json
import sys
import time

#: sweeps before the first one that counts: scripts are loaded, connections made
WARM_UP = 5


def main() -> None:
    from worker.runtime import runtime

    places, seconds = runtime().places, []
    for _ in range(WARM_UP + int(sys.argv[1])):
        began = time.perf_counter()
        places.bring_on()
        seconds.append(time.perf_counter() - began)
        time.sleep(0.01)
    print(json.dumps(seconds[WARM_UP:]))


if __name__ == "__main__":
    main()
