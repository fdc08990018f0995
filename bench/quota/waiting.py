"""``make bench-waiting``: what checks cost that wait for a permit, and whom they delay. About ten minutes; a part of it
by its name: ``python -m bench.quota.waiting [lanes] [day] [programs] [priority]``.

A worker of wxcheck at the platform's own quotas, with the sandbox as the platform; every figure beside what it must be.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import requests
from celery.result import AsyncResult

from bench.machine import cpu_seconds
from config.days import DAY, seconds_of_day
from store import keys
from tests.support.processes import Running, eventually
from tests.support.system import APPID, OTHER_APPID, QUEUES, System
from wechat.checks import MEDIA_PATH, TEXT_PATH
from wxcheck import HIGH_PRIORITY, check_media, check_text

#: seconds that the sandbox takes to answer a check
ANSWER = [0.2, 0.2]
TEXT_PER_MINUTE, MEDIA_PER_MINUTE = 4000, 2000
BACKLOG = 20_000
CLOCK_KEY = "bench:clock"


def tell(what: str, figure: str, goal: str) -> None:
    print(f"{what:<74} {figure:>12}   {goal}", flush=True)


@contextmanager
def system(**settings: str) -> Iterator[System]:
    """Redis, sandbox and endpoint; texts and media are answered, and never pushed by themselves."""
    with tempfile.TemporaryDirectory() as directory:
        found = System(Path(directory), API_TIMEOUT="10", **settings)
        try:
            found.sandbox()
            found.endpoint()
            found.tell_sandbox(
                answer_seconds=ANSWER, push_lost=1, text_per_minute=10**6, media_per_minute=10**6, text_per_day=10**8
            )
            yield found
        finally:
            found.close()


def fill(found: System, checks: int, *, media: bool = True) -> None:
    """Has so many texts wait, and as many media; what they become is not kept."""
    with found.app.producer_or_acquire() as producer, producer.batch():
        for number in range(checks):
            send(found, check_text(f"text {number}"), producer=producer, ignore_result=True)
            if media:
                check = check_media(f"https://img.example.com/{number}.png")
                send(found, check, producer=producer, ignore_result=True)


def send(found: System, check: Any, **options: Any) -> AsyncResult:
    return found.app.send_task(check.task, kwargs=check.kwargs, **{**check.options, **options})


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def parked(found: System, checks: int) -> list[tuple[str, AsyncResult]]:
    """Media checks that wait for their push, with their trace_id."""
    results = [send(found, check_media(f"https://img.example.com/parked-{n}.png")) for n in range(checks)]
    waiting = []
    for result in results:
        eventually(partial(is_sent, result), "the check is parked", 120)
        waiting.append((result.info["trace_id"], result))
    return waiting


def push_seconds(found: System, waiting: list[tuple[str, AsyncResult]]) -> list[float]:
    """Pushes each check, one after the other; the seconds from sending the push to the stored verdict."""
    taken = []
    for trace_id, result in waiting:
        began = time.time()
        requests.post(f"{found.sandbox_url}/sandbox/pushes", json={"trace_id": trace_id}, timeout=10).raise_for_status()
        eventually(partial(is_done, result), "the check is finished", 60)
        taken.append(result.date_done.timestamp() - began)
        time.sleep(0.15)
    return taken


def calls(found: System) -> tuple[int, int]:
    return found.calls(TEXT_PATH), found.calls(MEDIA_PATH)


def both_lanes_and_pushes() -> None:
    with system(APPS="") as found:
        found.worker("one")
        waiting = parked(found, 400)
        idle = push_seconds(found, waiting[:200])
        fill(found, BACKLOG)
        time.sleep(75)  # the first window is no steady state
        before, since = calls(found), time.monotonic()
        busy = push_seconds(found, waiting[200:])
        time.sleep(max(0.0, 120 - (time.monotonic() - since)))
        after, seconds = calls(found), time.monotonic() - since
        for lane, name, per_minute in ((0, "texts", TEXT_PER_MINUTE), (1, "media", MEDIA_PER_MINUTE)):
            use = (after[lane] - before[lane]) / (per_minute * seconds / 60)
            tell(f"one worker, {BACKLOG} waiting in each lane: use of the quota, {name}", f"{use:.1%}", "95 % or more")
        for name, taken in (("idle", idle), ("meanwhile", busy)):
            figure = f"{percentile(taken, 0.5) * 1000:.0f}, {percentile(taken, 0.99) * 1000:.0f} ms"
            tell(f"push sent to verdict stored, {name}: p50, p99 of {len(taken)}", figure, "p99 under 250 ms")


def day_is_gone() -> None:
    with system(APPS="", TEXT_PER_DAY="50", MEDIA_PER_DAY="50") as found:
        found.redis.set(CLOCK_KEY, 0)
        worker = clocked_worker(found)
        fill(found, 5_000)
        eventually(lambda: calls(found) == (50, 50), "the day's quota is used up", 60)
        time.sleep(5)
        spent, since, longest = worker_cpu(worker), time.monotonic(), 0.0
        while time.monotonic() - since < 30:
            oldest = found.redis.zrange("wxcheck:unacked_index", 0, 0, withscores=True)
            longest = max(longest, time.time() - float(oldest[0][1]) if oldest else 0.0)
            time.sleep(0.5)
        share = (worker_cpu(worker) - spent) / (time.monotonic() - since)
        tell("day's quota gone, 10,000 waiting: CPU of the worker", f"{share:.1%}", "under 2 % of a core")
        tell("the same: oldest unacknowledged message", f"{longest:.1f} s", "under 60 s")
        ahead = 3.0
        to_midnight = DAY - seconds_of_day(time.time())
        found.redis.set(CLOCK_KEY, int((to_midnight - ahead) * 1e6))
        midnight = time.monotonic() + ahead
        eventually(lambda: found.calls(TEXT_PATH) > 50, "texts are sent again", 30)
        tell("midnight (the clock is moved) to the first call", f"{time.monotonic() - midnight:.2f} s", "within 2 s")


def clocked_worker(found: System) -> Running:
    """A worker whose clock at Redis is ahead by what ``CLOCK_KEY`` says."""
    command = ["bench.quota.wxcheck_worker", "worker", "-Q", QUEUES, "-n", "clocked@%h", "--loglevel=INFO"]
    running = found.run("clocked", command, BENCH_CLOCK_KEY=CLOCK_KEY)
    running.wait_for(" ready.")
    return running


def worker_cpu(worker: Running) -> float:
    return cpu_seconds(worker.process.pid) or 0.0


def two_programs() -> None:
    with system() as found:
        two_workers(found)
        alone = others(found)
        tell("500 texts of another Mini Program, alone", f"{alone:.1f} s", "")
        fill(found, BACKLOG, media=False)
        time.sleep(5)
        tell("the same, beside 20,000 that wait", f"{others(found) / alone:.2f} times", "1.2 times or less")
    with system() as found:
        two_workers(found)
        alone = others(found)
        found.tell_sandbox(text_per_day=1)
        fill(found, 3, media=False)
        eventually(lambda: closed(found), "the lane is closed for the day", 30)
        found.tell_sandbox(text_per_day=10**8)
        fill(found, BACKLOG, media=False)
        tell("the same, beside one closed for the day", f"{others(found) / alone:.2f} times", "1.2 times or less")


def two_workers(found: System) -> None:
    # two lanes of texts that are used to the full are nearly more than one process has the time for
    for name in ("one", "two"):
        found.worker(name)


def closed(found: System) -> bool:
    return bool(found.redis.hget(keys.quota(APPID, "text"), "closed_until"))


def others(found: System) -> float:
    """Seconds until 500 texts of the other Mini Program are done."""
    began = time.monotonic()
    results = [send(found, check_text(f"other {number}", appid=OTHER_APPID)) for number in range(500)]
    for result in results:
        result.get(timeout=120)
    return time.monotonic() - began


def priority() -> None:
    with system(APPS="") as found:
        found.worker("one")
        fill(found, BACKLOG)
        time.sleep(10)
        for name, check, done in (("texts", urgent_text, is_done), ("media", urgent_media, is_sent)):
            slowest = 0.0
            for number in range(10):
                began = time.monotonic()
                result = send(found, check(number), priority=HIGH_PRIORITY)
                eventually(partial(done, result), "the urgent check is sent", 60)
                slowest = max(slowest, time.monotonic() - began)
            tell(f"high priority before {BACKLOG} waiting {name}: slowest of ten", f"{slowest:.2f} s", "within 2 s")


def urgent_text(number: int) -> Any:
    return check_text(f"urgent {number}")


def urgent_media(number: int) -> Any:
    return check_media(f"https://img.example.com/urgent-{number}.png")


def is_done(result: AsyncResult) -> bool:
    return bool(result.state == "SUCCESS")


def is_sent(result: AsyncResult) -> bool:
    return bool(result.state == "WAITING")


PARTS: dict[str, Callable[[], None]] = {
    "lanes": both_lanes_and_pushes,
    "day": day_is_gone,
    "programs": two_programs,
    "priority": priority,
}


def main() -> None:
    chosen = sys.argv[1:] or list(PARTS)
    if unknown := [name for name in chosen if name not in PARTS]:
        raise SystemExit(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    for name in chosen:
        PARTS[name]()


if __name__ == "__main__":
    main()
