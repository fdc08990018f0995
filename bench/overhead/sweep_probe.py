"""``python -m bench.overhead.sweep_probe COUNT``: sweeps so often as a worker does, and prints the seconds of each."""

from __future__ import annotations

import json
import sys
import time

#: sweeps before the first one that counts: scripts are loaded, connections made
WARM_UP = 5


def main() -> None:
    from worker.celery import app
    from worker.runtime import runtime
    from worker.sweeper import JOBS, bring_on, bring_on_due

    (bound,) = (job.bound for job in JOBS if job.do is bring_on_due)
    assert bound is not None  # noqa: S101 - the job has a loop
    seconds = []
    for _ in range(WARM_UP + int(sys.argv[1])):
        began = time.perf_counter()
        bring_on(app, runtime(), bound)
        seconds.append(time.perf_counter() - began)
        time.sleep(0.01)
    print(json.dumps(seconds[WARM_UP:]))


if __name__ == "__main__":
    main()
