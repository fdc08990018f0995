"""``python -m bench.quota.appids``: what a check costs with one Mini Program, and with a thousand. About eight minutes.

Four workers, a server that stands in for the platform, and a Redis of the limiter's own. What is sent in a minute is
one appId's quota, in the last run a third more. Costs are those of the steady state.
"""

from __future__ import annotations

import json
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle, islice

from bench.machine import describe_machine, in_a_line
from bench.quota.contenders import CONTENDERS, PEERS, QUOTA_SCRIPTS, Contender
from bench.quota.feeder import Feeder, publish, publisher
from bench.quota.result import Costs, costs_of
from bench.quota.scale import FULL, Scale
from bench.quota.system import System
from bench.redis_load import state_bytes, version
from bench.servers import APPID

#: seconds of sending before the steady state, and of it
WARM_UP, MEASURED = 75.0, 60.0
#: seconds between two batches
_TICK = 0.25
_OTHERS = tuple(f"wx{number:016x}" for number in range(1, 1_000))


@dataclass(frozen=True)
class Traffic:
    """``full``: whether ``APPID`` has more waiting than its quota lets through; ``others``: checks a second by turns of
    the other appIds."""

    title: str
    full: bool
    appids: tuple[str, ...] = ()
    others: float = 0.0


TRAFFIC = (
    Traffic("one, used to the full", full=True),
    Traffic("1,000 by turns", full=False, appids=(APPID, *_OTHERS), others=FULL.text / 60),
    Traffic("one used to the full, 999 by turns", full=True, appids=_OTHERS, others=FULL.text / 60 / 3),
)


@dataclass(frozen=True)
class Several(Contender):
    """wxcheck with other Mini Programs beside ``APPID``."""

    appids: tuple[str, ...] = ()

    def environment(self, scale: Scale, store: str) -> dict[str, str]:
        apps = json.dumps({appid: {} for appid in self.appids})
        return {**super().environment(scale, store), "WXCHECK_APPS": apps}


def main() -> None:
    columns = ("checks", "calls/check", "Redis µs/check", "CPU ms/check", "bytes a lane")
    for number, traffic in enumerate(TRAFFIC):
        costs, server = measure(traffic)
        if number == 0:
            print(in_a_line(describe_machine(server, PEERS)))
            print(f"{'appIds':<36}", *(f"{column:>15}" for column in columns))
        figures = (
            f"{costs.checks}",
            f"{costs.calls:.3f}",
            f"{costs.redis_us:.0f}",
            f"{costs.cpu_ms:.1f}",
            f"{costs.state}",
        )
        print(f"{traffic.title:<36}", *(f"{figure:>15}" for figure in figures), flush=True)


def measure(traffic: Traffic) -> tuple[Costs, str]:
    """The costs of a check in the steady state, the state being that of a lane, and the name of the Redis."""
    text = CONTENDERS["wxcheck-text"]
    contender = Several(text.name, text.title, text.feeds, state=text.state, appids=traffic.appids)
    with System(contender, FULL, "calm", 1, apart=False, durable=False, clock=False) as system:
        with closing(Feeder(system.broker_url, text.feeds, FULL, WARM_UP + MEASURED)) as feeder:
            if traffic.full:
                feeder.fill()
        system.start_workers()
        with closing(Sender(system, traffic)) as sender:
            sender.send(WARM_UP)
            before, checks_before, since = system.look(), sum(system.arrived().values()), time.monotonic()
            sender.send(MEASURED)
            after, checks, seconds = system.look(), sum(system.arrived().values()), time.monotonic() - since
        state = state_bytes(system.store, text.state) // len({APPID, *traffic.appids})
        costs = costs_of(before, after, checks - checks_before, seconds, state, QUOTA_SCRIPTS)
        return costs, version(system.store)


class Sender:
    """Publishes the checks of the other appIds, evenly."""

    def __init__(self, system: System, traffic: Traffic) -> None:
        self._system = system
        self._feed = system.contender.feeds[0]
        self._app = publisher(system.broker_url)
        self._a_second = traffic.others
        self._appids = cycle(traffic.appids)

    def close(self) -> None:
        self._app.close()

    def send(self, seconds: float) -> None:
        """Goes on for so long."""
        began, sent = time.monotonic(), 0
        while (passed := time.monotonic() - began) < seconds:
            due = int(passed * self._a_second) - sent
            publish(self._app, self._feed, [{**self._feed.kwargs, "appid": one} for one in islice(self._appids, due)])
            sent += due
            self._system.check()
            self._system.cpu.look(self._system.worker_pids())
            time.sleep(_TICK)


if __name__ == "__main__":
    main()
