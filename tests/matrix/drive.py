"""Sends every canvas, does what an operator does about them, and waits until all have ended.

``python -m tests.matrix.drive``; :mod:`tests.matrix.canvases` says what it needs.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable
from typing import Any

from celery.result import AsyncResult, GroupResult

from tests.matrix.application import app, brief
from tests.matrix.canvases import CANVASES, Canvas, Kit, Outcome
from wxcheck import WAITING

#: seconds; generous, for a deadline that passes only when something is wrong
PATIENCE = 60.0
#: seconds between two looks
INTERVAL = 0.05


@dataclasses.dataclass
class Sent:
    """A canvas on its way."""

    canvas: Canvas
    token: str
    #: the ids of its tasks, the first one of a chain first; of a group, a list
    ids: list[Any]

    @property
    def first(self) -> str:
        """The id of its first task, which is a check wherever an operator acts."""
        task_id: str = self.ids[0]
        return task_id

    def outcome(self) -> Outcome:
        return Outcome(self.token, self.ids, _ends(self.ids))

    def has_ended(self) -> bool:
        """Whether all of it has ended; it may have ended otherwise than it should."""
        return None not in _flat(_ends(self.ids))


def drive(canvases: list[Canvas]) -> dict[str, Outcome]:
    """Sends ``canvases`` all at once; what became of each, by its name, at the latest when nothing more is to come."""
    sent = [_send(canvas) for canvas in canvases]
    acting: dict[str, list[Sent]] = {}
    for one in sent:
        for act in one.canvas.acts:
            acting.setdefault(act, []).append(one)
    for one in _until(acting.get("revoke", []), _waits, "waits for its push"):
        app.control.revoke(one.first)
    _operate("cancel", _until(acting.get("cancel", []), _waits, "waits for its push"))
    replayed = _until(acting.get("replay", []), lambda one: _state(one.first) == "FAILURE", "fails")
    # its dead letter is kept when it has ended, which its result may be shown before
    replayed = _until(replayed, lambda one: _operate("replay", [one]), "is replayed")
    # until a worker has taken it up it has the end of the run before
    _until(replayed, lambda one: _state(one.first) != "FAILURE", "is checked again")
    for one in _until(acting.get("deliver", []), _waits, "waits for its push again"):
        _deliver(app.backend.get_task_meta(one.first, cache=False)["result"]["trace_id"])
    _until(sent, Sent.has_ended, "ends")
    return {one.canvas.name: one.outcome() for one in sent}


def _send(canvas: Canvas) -> Sent:
    token = uuid.uuid4().hex
    result = canvas.build(Kit(canvas.kind, token)).apply_async(**dict(canvas.options))
    ids: list[Any] = []
    while result is not None:
        ids.insert(0, _ids(result))
        result = result.parent
    return Sent(canvas, token, ids)


def _until(sent: list[Sent], holds: Callable[[Sent], bool], what: str) -> list[Sent]:
    """Waits until ``holds`` was true of each; those of which it was in time. Of the others it is told."""
    deadline = time.monotonic() + PATIENCE
    missing = sent
    while missing := [one for one in missing if not holds(one)]:
        if time.monotonic() > deadline:
            print(f"{what}: not within {PATIENCE:.0f} s", *(one.canvas.name for one in missing), file=sys.stderr)
            break
        time.sleep(INTERVAL)
    return [one for one in sent if one not in missing]


def _state(task_id: str) -> str:
    state: str = app.backend.get_task_meta(task_id, cache=False)["status"]
    return state


def _waits(one: Sent) -> bool:
    return _state(one.first) == WAITING


def _end(task_id: str) -> str | None:
    """The end of a task; None where it has not ended."""
    result = AsyncResult(task_id, app=app)
    if not result.ready():
        return None
    found = result.get(propagate=False)
    return type(found).__name__ if isinstance(found, BaseException) else brief(found)


def _ends(ids: list[Any]) -> list[Any]:
    return [_ends(each) if isinstance(each, list) else _end(each) for each in ids]


def _ids(result: Any) -> Any:
    """The id of a result, or those of a group's."""
    return [_ids(child) for child in result.results] if isinstance(result, GroupResult) else result.id


def _flat(nested: Any) -> list[Any]:
    return [each for one in nested for each in (_flat(one) if isinstance(one, list) else [one])]


def _operate(command: str, sent: list[Sent]) -> bool:
    """Has wxcheck's command line do something about checks, as an operator would. True if it is done."""
    if not sent:
        return True
    arguments = [*json.loads(os.environ["MATRIX_OPERATOR"]), command, "--yes", *(one.first for one in sent)]
    environment = json.loads(os.environ["MATRIX_OPERATOR_ENV"])
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if done.returncode:
        print(f"wxcheck {command} ended with {done.returncode}: {done.stdout}{done.stderr}", file=sys.stderr)
    return done.returncode == 0


def _deliver(trace_id: str) -> None:
    """Has the stand-in platform push a verdict that it has lost."""
    request = urllib.request.Request(  # noqa: S310 - it is http
        f"{os.environ['MATRIX_SANDBOX_URL']}/sandbox/pushes",
        data=json.dumps({"trace_id": trace_id}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310 - the same
        answer.read()


def main(names: list[str]) -> int:
    chosen = [canvas for canvas in CANVASES if not names or canvas.name in names]
    outcomes = {name: dataclasses.asdict(outcome) for name, outcome in drive(chosen).items()}
    print(json.dumps(outcomes))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
