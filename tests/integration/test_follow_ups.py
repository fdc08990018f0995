"""Follow-ups that wait in a queue which nobody consumes are told, with the queue and how many wait.

Tests: status.follow_ups, store.watch.follow_ups, worker.celery_parts.follow_ups
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from celery import chain
from celery.result import AsyncResult

import wxcheck
from status.follow_ups import CERTAIN
from store import keys
from tests.support.commands import wxcheck_command
from tests.support.processes import eventually
from tests.support.system import System

NOBODYS = "nobodys"


def send_chains(system: System, queue: str, number: int = 2) -> list[AsyncResult]:
    """Checks that end, each with a follow-up to ``queue``; their ids."""
    results = []
    for _ in range(number):
        check = system.app.signature(wxcheck.CHECK_TEXT, kwargs={"content": "fine"}, queue=wxcheck.TEXT_QUEUE)
        follow_up = system.app.signature("application.nothing", queue=queue)
        results.append(chain(check, follow_up).apply_async().parent)
    for result in results:
        eventually(result.ready, f"{result.id} ends")
    return results


def told(system: System, *arguments: str) -> Any:
    """The JSON that a command prints, run as an operator does."""
    return json.loads(wxcheck_command(system, *arguments, "--json").stdout)


def troubles(system: System) -> list[dict[str, Any]]:
    """The troubles of follow-ups in ``wxcheck status``."""
    found = told(system, "status")["troubles"]
    return [trouble for trouble in found if trouble["key"] == "follow_ups_unconsumed"]


@pytest.mark.parametrize(
    "topology",
    ["one Redis", *(pytest.param(apart, marks=pytest.mark.long) for apart in ("broker apart", "RabbitMQ"))],
)
def test_follow_ups_that_nobody_consumes_are_told_by_status_doctor_and_show(topology: str, tmp_path: Path) -> None:
    system = System(tmp_path, topology)
    try:
        system.sandbox()
        system.worker()
        first, _ = send_chains(system, NOBODYS)
        send_chains(system, "application")
        eventually(lambda: system.redis.zscore(keys.FOLLOW_UPS, "application"), "the queues are remembered")
        system.application()
        (trouble,) = troubles(system)
        assert f"Follow-ups of checks wait in {NOBODYS}" in trouble["said"]["en"]
        assert trouble["said"]["en"].endswith(": 2.")
        assert f"2 个检测的后续任务在 {NOBODYS}" in trouble["said"]["zh"]
        assert f"-Q {NOBODYS}" in trouble["remedy"]["en"]
        if topology == "RabbitMQ":
            assert trouble["level"] == "bad"
        else:
            # no worker has said that it consumes it, which may be for want of time; after a while that is certain
            assert trouble["level"] == "warn"
            since, _, rest = str(system.redis.hget(keys.FOLLOW_UPS_SEEN, NOBODYS)).partition("@")
            system.redis.hset(keys.FOLLOW_UPS_SEEN, NOBODYS, f"{float(since) - CERTAIN}@{rest}")
            (trouble,) = troubles(system)
            assert trouble["level"] == "bad"
        found = [finding["said"] for finding in told(system, "doctor") if NOBODYS in finding["said"]]
        assert len(found) == 1
        shown = wxcheck_command(system, "show", first.id).stdout
        others = f"2 wait in {NOBODYS}, which no worker consumes; its own may be among them"
        own = f"waits in {NOBODYS}, which no worker consumes; 2 wait there"
        assert (others if topology == "RabbitMQ" else own) in shown
    finally:
        system.close()
