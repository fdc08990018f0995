"""The counts of the stand-in platform: calls and pushes, compared with those of the demo's cases."""

from __future__ import annotations

from dataclasses import dataclass

import requests

from ops.local.cases import Case
from ops.local.stack import Stack
from wechat.checks import MEDIA_PATH, TEXT_PATH
from wxcheck import CHECK_TEXT

#: most seconds to wait for the stand-in
_ANSWER = 5


@dataclass(frozen=True)
class PlatformStats:
    """The counts since the stand-in's start."""

    texts: int
    media: int
    #: deliveries, repeated ones included
    pushes: int
    #: verdicts not delivered yet
    waiting: int

    def faults(self, cases: list[Case]) -> list[str]:
        """Return each fault of the counts: more or fewer calls than ``cases`` need, or fewer pushes."""
        # a check that is refused before its call costs none
        checks = [
            (check.task == CHECK_TEXT, case)
            for case in cases
            for check, expected in zip(case.checks, case.expected, strict=True)
            if expected != "InvalidCheck"
        ]
        texts = sum(is_text for is_text, _ in checks)
        media = len(checks) - texts
        pushes = sum(case.pushes for is_text, case in checks if not is_text)
        faults = []
        if self.texts != texts:
            faults.append(f"the platform was asked for {self.texts} texts, expected {texts}")
        if self.media != media:
            faults.append(f"the platform was asked for {self.media} pictures and clips, expected {media}")
        if self.pushes < pushes:  # more pushes are no fault: WeChat repeats one that was not answered in time
            faults.append(f"the platform pushed {self.pushes} times, expected {pushes}")
        return faults


def platform_stats(stack: Stack) -> PlatformStats:
    """Ask the stand-in of ``stack`` for its counts.

    Raises:
        requests.RequestException: it does not answer.
    """
    with requests.Session() as session:
        session.trust_env = False  # no proxy
        answer = session.get(f"{stack.sandbox_url}/sandbox/stats", timeout=_ANSWER)
        answer.raise_for_status()
        stats = answer.json()
    calls = stats["calls"]
    return PlatformStats(calls.get(TEXT_PATH, 0), calls.get(MEDIA_PATH, 0), stats["pushes"]["sent"], stats["waiting"])
