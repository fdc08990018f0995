"""The packages of the rooms import nothing, and a pure module loads no heavy library."""

from __future__ import annotations

import ast
import subprocess
import sys

from tests.support.processes import ROOT

ROOMS = ["callbacks", "config", "ops", "sandbox", "status", "store", "tasks", "wechat", "worker"]
HEAVY = {"celery", "kombu", "redis", "requests", "pydantic", "wxcheck"}


def loaded_by(statement: str) -> set[str]:
    """The names at the top of what a new process has loaded after ``statement``."""
    code = f"import sys; {statement}; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT, text=True)
    return {name.partition(".")[0] for name in ran.stdout.split()}


def test_a_pure_module_loads_neither_celery_nor_redis_nor_settings() -> None:
    pure = ["worker", "config.days", "store.quota.clock", "store.quota.permit", "wechat.errcodes", "status.remedies"]
    pure += ["wechat.push.envelope", "store.places.forms", "store.places.shard", "config.broker_lists"]
    assert not loaded_by("; ".join(f"import {module}" for module in pure)) & HEAVY


def test_the_packages_of_the_rooms_import_nothing() -> None:
    for room in ROOMS:
        for path in (ROOT / room).rglob("__init__.py"):
            body = ast.parse(path.read_text(encoding="utf-8")).body
            assert all(isinstance(node, ast.Expr) for node in body), path
