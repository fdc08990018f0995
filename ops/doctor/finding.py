"""What ``wxcheck doctor`` says of one thing that it looked at."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

#: bad and warn are faults and doubts; skipped: not looked at, and why
Level = Literal["ok", "warn", "bad", "skipped"]


class Finding(NamedTuple):
    """One thing that was looked at, how it is, and what to do where it is not well."""

    level: Level
    subject: str
    said: str
    remedy: str = ""

    @property
    def well(self) -> bool:
        return self.level != "bad"

    def told(self) -> dict[str, Any]:
        """For JSON."""
        return {**self._asdict(), "well": self.well}


def words(error: BaseException) -> str:
    """The class and the text of an error, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
