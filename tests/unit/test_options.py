"""A worker of checks takes some options of Celery's, and refuses those of other pools.

Tests: worker.celery_parts.options
"""

from __future__ import annotations

from typing import Any

import pytest

from worker.celery_parts.options import faults


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"queues": ["wxcheck.text", "wxcheck.media", "wxcheck.push"]},
        {"queues": ["wxcheck.text", "celery", "application"]},
        {"pool": "worker.celery_parts.threads:TaskPool", "concurrency": 4},
        {"pool": "celery.concurrency.thread:TaskPool"},
        {"pool": "celery.concurrency.solo:TaskPool", "concurrency": 96},
        {"pool": "celery.concurrency.solo:TaskPool", "concurrency": 1},
        {"concurrency": "auto"},
        {"concurrency": 200, "purge": True, "statedb": "state"},
    ],
    ids=str,
)
def test_what_a_worker_can_do_is_not_refused(options: dict[str, Any]) -> None:
    assert list(faults({"pool": "threads", **options}, ["celery", "worker", "-P", "threads"], 96)) == []


@pytest.mark.parametrize(
    ("pool", "why"),
    [("prefork", "child process"), ("gevent", "greenlets"), ("eventlet", "greenlets"), ("mine", "no pool of wxcheck")],
)
def test_another_pool_is_refused_with_the_reason_and_the_remedy(pool: str, why: str) -> None:
    (fault,) = faults({"pool": f"celery.concurrency.{pool}:TaskPool"}, [], 96)
    assert fault.startswith(f"-P {pool}: ")
    assert why in fault
    assert "run several workers; -P threads" in fault


SOLO = "celery.concurrency.solo:TaskPool"


@pytest.mark.parametrize(
    ("options", "flag", "remedy"),
    [
        ({"autoscale": (10, 2)}, "--autoscale", "-c 96"),
        ({"time_limit": 30.0}, "--time-limit", "API_TIMEOUT"),
        ({"soft_time_limit": 30.0, "pool": SOLO}, "--soft-time-limit", "API_TIMEOUT"),
        ({"max_tasks_per_child": 100}, "--max-tasks-per-child", "restart the worker"),
        ({"max_memory_per_child": 100_000}, "--max-memory-per-child", "restart the worker"),
        ({"pool_start_method": "spawn"}, "--pool-start-method", "restart the worker"),
        ({"pool": SOLO, "concurrency": 5}, "-c 5", "-P threads -c 5"),
        ({"beat": True}, "-B", "celery beat"),
        ({"scheduler": "celery.beat:PersistentScheduler"}, "--scheduler", "celery beat"),
        ({"queues": ["wxcheck.nope"]}, "-Q wxcheck.nope", "wxcheck.text"),
        ({"queues": ["wxcheck.text.wx1"]}, "-Q wxcheck.text.wx1", "the nearest is wxcheck.text"),
        ({"exclude_queues": ["wxcheck.pusch"]}, "-X wxcheck.pusch", "the nearest is wxcheck.push"),
    ],
    ids=str,
)
def test_what_a_worker_cannot_do_is_refused_with_its_remedy(options: dict[str, Any], flag: str, remedy: str) -> None:
    (fault,) = faults({"pool": "threads", **options}, [], 96)
    assert fault.startswith(f"{flag}: ")
    assert remedy in fault


@pytest.mark.parametrize("argv", [["-P", "prefork"], ["--pool", "prefork"], ["-Pprefork"], ["--pool=prefork"]], ids=str)
def test_prefork_is_not_taken_for_threads(argv: list[str]) -> None:
    (fault,) = faults({"pool": "worker.celery_parts.threads:TaskPool"}, ["celery", "worker", *argv], 96)
    assert fault.startswith("-P prefork: ")
