"""The outcome of a case: read from results and store, and compared with the right outcome."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import redis
from celery import Celery, states

from ops.local.cases import Case
from ops.local.demo_app import runs_key


@dataclass(frozen=True)
class Run:
    """One run of a follow-up or an errback."""

    task: str
    outcome: dict[str, Any]
    #: seconds since the epoch
    at: float


@dataclass(frozen=True)
class Outcome:
    """The outcome of a case so far."""

    #: for each check its verdict, or the name of its failure's class; None: not ended
    verdicts: list[dict[str, Any] | str | None]
    runs: list[Run]

    @property
    def complete(self) -> bool:
        """True if each check has ended and a follow-up or an errback has run."""
        return None not in self.verdicts and bool(self.runs)

    def words(self) -> list[str]:
        """Return each check's verdict, or failure, in a word."""
        return [came["suggest"] if isinstance(came, dict) else came or "none" for came in self.verdicts]

    def faults(self, case: Case) -> list[str]:
        """Return each difference from the right outcome of ``case``."""
        faults = []
        for expected, came in zip(case.expected, self.verdicts, strict=True):
            seen = came
            if isinstance(expected, dict) and isinstance(came, dict):
                seen = {name: came.get(name) for name in expected}
            if seen != expected:
                faults.append(f"expected {_told(expected)}, came {_told(seen)}")
        ran = [(run.task, run.outcome) for run in self.runs]
        if ran != [(case.runs, case.outcome)]:
            runs = "; ".join(f"{task} {_told(outcome)}" for task, outcome in ran) or "nothing"
            faults.append(f"expected one run of {case.runs} {_told(case.outcome)}, came {runs}")
        return faults


@dataclass(frozen=True)
class Sent:
    """A case under way."""

    case: Case
    subject: str
    #: results of the checks
    task_ids: list[str]
    #: seconds since the epoch
    at: float

    def outcome(self, app: Celery, store: redis.Redis) -> Outcome:
        """Read the outcome so far, from the result backend of ``app`` and the demo's records in ``store``."""
        runs = [Run(**json.loads(run)) for run in store.lrange(runs_key(self.subject), 0, -1)]
        return Outcome([_verdict(app, task_id) for task_id in self.task_ids], runs)


def send(case: Case, subject: str) -> Sent:
    """Enqueue the case, with ``subject`` as the id of its post, photo or album."""
    at = time.time()
    return Sent(case, subject, [result.id for result in case.send(subject)], at)


def _verdict(app: Celery, task_id: str) -> dict[str, Any] | str | None:
    meta = app.backend.get_task_meta(task_id)
    if meta["status"] not in states.READY_STATES:
        return None
    value = meta["result"]
    return value if isinstance(value, dict) else type(value).__name__


def _told(value: object) -> str:
    if value is None:
        return "nothing"
    return value if isinstance(value, str) else json.dumps(value)
