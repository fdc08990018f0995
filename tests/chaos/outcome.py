"""The ends of the checks, beside those that are promised."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, ClassVar

import requests

import wxcheck
from config.names import UNACKED, UNACKED_INDEX
from store.places.places import KEEP_EARLY
from store.places.shard import SHARD
from tests.chaos.application import RUNS
from tests.chaos.load import Load, Sent
from tests.chaos.world import World
from tests.support.left import left_in_places
from tests.support.queues import PRIORITIES

#: queues whose messages belong to checks, or to what follows
LISTS = ("wxcheck.text", "wxcheck.media", "wxcheck.push", "application")
#: seconds from a push to the parking of its check, if the check's run lives: a call, and a store that was away
LONGEST_RUN = 10.0


@dataclass
class Outcome:
    """The numbers of one scenario."""

    HEAD: ClassVar[str] = (
        "| servers | scenario | seed | faults | checks | calls | lost | published twice | wrong | left over | s |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|"
    )

    scenario: str
    seed: int
    faults: dict[str, int]
    #: where store, broker and results are
    topology: str = "one Redis"
    #: whether each check is to be one call to the platform
    sends_once: bool = False
    checks: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    #: checks without an end, and canvases whose follow-up or errback did not run
    lost: list[str] = field(default_factory=list)
    #: follow-ups and errbacks that were published more than once
    repeated: list[str] = field(default_factory=list)
    #: ... that ran although their check failed, or the other way round; failures and calls that nothing accounts for
    wrong: list[str] = field(default_factory=list)
    #: what is left in the store, but for marks that expire
    left: list[str] = field(default_factory=list)
    #: follow-ups that were delivered to the application's worker again
    delivered_again: int = 0
    refused: int = 0
    #: pushes that a broker apart had for longer than ``PUSH_TIMEOUT``
    late: int = 0
    calls: int = 0
    seconds: float = 0.0

    @property
    def published_once(self) -> bool:
        """Whether it is promised that what follows is published once: else it is at least once, and counted."""
        return self.topology == "one Redis"

    @property
    def holds(self) -> bool:
        return not (self.lost or self.wrong or self.left or (self.repeated and self.published_once))

    def told(self) -> str:
        """All of it, in some lines."""
        lines = [
            f"scenario {self.scenario} on {self.topology}, seed {self.seed}: "
            f"{self.checks} checks in {self.seconds:.0f} s, "
            + (", ".join(f"{name} {times} times" for name, times in self.faults.items()) or "faults of the platform"),
            f"  ended: {', '.join(f'{kind} {number}' for kind, number in sorted(self.ended.items()))}; "
            f"calls to the platform: {self.calls}; not taken by the broker, and said so: {self.refused}",
            f"  lost {len(self.lost)} (promised 0), "
            f"follow-ups published twice {len(self.repeated)} ({'0' if self.published_once else 'counted'}), "
            f"wrong ones {len(self.wrong)} (0), left over {len(self.left)} (0); pushes too late: {self.late}; "
            f"delivered to the application again: {self.delivered_again}",
        ]
        for what in ("lost", "repeated", "wrong", "left"):
            lines += [f"    {what}: {one}" for one in getattr(self, what)[:10]]
        return "\n".join(lines)

    def row(self) -> str:
        """It as a row below ``HEAD``."""
        faults = ", ".join(f"{times} {name}" for name, times in self.faults.items()) or "the platform's"
        found = (len(self.lost), len(self.repeated), len(self.wrong), len(self.left), round(self.seconds))
        cells = (self.topology, self.scenario, self.seed, faults, self.checks, self.calls, *found)
        return f"| {' | '.join(map(str, cells))} |"


def settled(world: World, load: Load, seconds: float) -> bool:
    """Waits until every check has ended, what follows has run and no push is on its way, or until ``seconds`` are over.

    Pushes come before what is left: one of a call that its run has given up belongs to nobody, and is kept for a while.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        _bring_forward(world)
        if (
            not world.system.sandbox_stats()["waiting"]
            and not _left(world)
            and not _without_end(world, load)
            and not _without_follow_up(world, load)
        ):
            return True
        time.sleep(0.5)
    return False


def judge(world: World, load: Load, outcome: Outcome) -> Outcome:
    """Fills ``outcome`` with what is found now."""
    metas = _metas(world, load)
    runs = _runs(world)
    for sent in load.sent:
        states = [metas.get(task_id) for task_id in sent.checks]
        outcome.ended.update(_end(state) for state in states if _end(state))
        outcome.lost += [f"{task_id} of {sent.shape}: {_state(metas.get(task_id))}" for task_id in _open(sent, metas)]
        passed = all(_end(state) == "verdict" for state in states)
        ran = runs.get(sent.item, [])
        expected = sent.follow_up if passed else "hide"
        outcome.wrong += [f"{sent.shape} {sent.item}: {end}" for end in map(_end, states) if end.startswith("unnamed")]
        if sent.fails and passed:
            outcome.wrong.append(f"{sent.shape} {sent.item} passed")
        if not any(run["name"] == expected for run in ran):
            outcome.lost.append(f"{expected} of {sent.shape} {sent.item}")
        outcome.wrong += [f"{run['name']} of {sent.shape} {sent.item}" for run in ran if run["name"] != expected]
        if passed and sent.follow_up == "publish":
            (said,) = [state["result"]["suggest"] for state in states if state]
            told = {run["what"] for run in ran if run["name"] == "publish"}
            outcome.wrong += [
                f"publish of {sent.shape} {sent.item} was told {what}, not {said}" for what in told - {said}
            ]
        publications = {(run["name"], run["published"]) for run in ran if run["published"]}
        if len(publications) > len({name for name, _ in publications}):
            outcome.repeated.append(f"{sent.shape} {sent.item}: {Counter(name for name, _ in publications)}")
        outcome.delivered_again += len(ran) - len(publications)
    outcome.checks = load.number
    outcome.refused = load.refused.total()
    outcome.left = _left(world)
    stats = world.system.sandbox_stats()["calls"]
    outcome.calls = sum(stats.get(path, 0) for path in ("/wxa/msg_sec_check", "/wxa/media_check_async"))
    if outcome.sends_once and outcome.calls > outcome.checks:
        outcome.wrong.append(f"{outcome.calls} calls")
    timed_out, undelivered = outcome.ended["PushTimeout"], _undelivered(world)
    if not outcome.published_once:
        # they lay in the queue of a broker that was away
        outcome.late = len(_late(world))
    if timed_out > undelivered + outcome.late:
        delivered = f"the platform got rid of all pushes but {undelivered}, and {outcome.late} came too late"
        outcome.wrong.append(f"PushTimeout {timed_out}, but {delivered}")
    return outcome


def _late(world: World) -> set[str]:
    """The checks whose push a worker took up after their time-out, by trace_id."""
    lines = [line for running in world.system.started for line in running.output.splitlines() if "push_late" in line]
    return {event["trace_id"] for event in map(json.loads, lines) if event["event"] == "push_late"}


def _undelivered(world: World) -> int:
    """The number of verdicts that the platform lost, or gave up: their last push was not answered 200."""
    checks = requests.get(f"{world.system.sandbox_url}/sandbox/checks", {"limit": 10_000}, timeout=60).json()
    return sum(check["status"] != 200 for check in checks)


def _bring_forward(world: World) -> None:
    """Lets the time pass in which an early push is kept, if the run that sent its check must have died."""
    store, early = world.system.redis, SHARD.key("early_due")
    due = (store.time()[0] - LONGEST_RUN + KEEP_EARLY) * 1000
    entries: list[str] = store.zrange(early, "-inf", due, byscore=True)  # type: ignore[assignment]
    for entry in entries:
        store.zadd(early, {entry: 1}, xx=True)


def _metas(world: World, load: Load) -> dict[str, dict[str, Any]]:
    ids = [task_id for sent in list(load.sent) for task_id in sent.checks]
    if not ids:
        return {}
    found = world.results.mget([f"celery-task-meta-{task_id}" for task_id in ids])
    return {task_id: json.loads(meta) for task_id, meta in zip(ids, found, strict=True) if meta}


def _state(meta: dict[str, Any] | None) -> str:
    return meta["status"] if meta else "PENDING"


def _end(meta: dict[str, Any] | None) -> str:
    """The end of a check: verdict, the name of its failure, or "" where it has not."""
    if _state(meta) == "SUCCESS":
        return "verdict"
    if meta is not None and _state(meta) == "FAILURE":
        name: str = meta["result"]["exc_type"]
        return name if isinstance(getattr(wxcheck, name, None), type) else f"unnamed {name}"
    return ""


def _open(sent: Sent, metas: dict[str, dict[str, Any]]) -> list[str]:
    return [task_id for task_id in sent.checks if not _end(metas.get(task_id))]


def _without_end(world: World, load: Load) -> bool:
    metas = _metas(world, load)
    return any(_open(sent, metas) for sent in list(load.sent))


def _runs(world: World) -> dict[str, list[dict[str, Any]]]:
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for value in world.system.redis.hvals(RUNS):
        run = json.loads(value)
        runs[run["item"]].append(run)
    return runs


def _without_follow_up(world: World, load: Load) -> bool:
    runs = _runs(world)
    return any(sent.item not in runs for sent in list(load.sent))


def _messages(world: World) -> dict[str, int]:
    """The number of messages in each place of the broker."""
    if world.rabbitmq is not None:
        waiting = {queue: world.rabbitmq.length(queue) for queue in LISTS}
        if any(waiting.values()):
            return waiting
        try:
            # those in a worker's hands too; to ask for them takes a second, and much longer on a node that is busy
            return world.rabbitmq.held(LISTS)
        except subprocess.TimeoutExpired:
            return {"RabbitMQ, which did not say": 1}
    broker = world.broker
    assert broker is not None
    found = {queue + step: broker.llen(queue + step) for queue in LISTS for step in PRIORITIES}
    return {**found, UNACKED_INDEX: broker.zcard(UNACKED_INDEX), UNACKED: broker.hlen(UNACKED)}


def _left(world: World) -> list[str]:
    """What the store holds of checks that have not ended, and keys that nobody removes."""
    messages = [f"{key}: {count}" for key, count in _messages(world).items() if count]
    return [*messages, *left_in_places(world.system.redis)]
