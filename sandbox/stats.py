"""The counts of the sandbox."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any


class Stats:
    """Calls and answers by path, deliveries by their answers. The keys are few, so the counts stay small."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        #: by path, then by errcode; answers without JSON count by name: ``http 502``, ``reset``, ``html``, ``garbage``
        self.answers: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.pushes_sent = 0
        #: by HTTP status; ``none``: the receiver did not answer
        self.push_answers: Counter[str] = Counter()

    def pushed(self, status: int | None) -> None:
        self.pushes_sent += 1
        self.push_answers["none" if status is None else str(status)] += 1

    def report(self, waiting: int) -> dict[str, Any]:
        """Return the answer to ``GET /sandbox/stats``. ``waiting``: verdicts on their way."""
        return {
            "calls": dict(self.calls),
            "answers": {path: dict(codes) for path, codes in self.answers.items()},
            "pushes": {"sent": self.pushes_sent, "answers": dict(self.push_answers)},
            "waiting": waiting,
        }
